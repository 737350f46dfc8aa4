/* The same numbers into the same kernels on every machine: what comes out is printed bit by bit, and must be the same.
 *
 * Input is made of whole numbers and powers of two alone, so no machine can disagree about it. */
#ifndef PORTABLE_H
#define PORTABLE_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* elementary.c: the kernels, compiled for the machine that is tested. */
extern const klfast_level klfast_tested;

/* How much is printed: what is stored, all, or what is stored with the inputs. */
enum { SHORT, LONG, WITH_INPUTS };
extern int amount;

/* Begins the numbers that follow; the same seed gives the same ones. */
void seed(uint64_t number);
uint64_t draw(void);
/* low <= number < high, one of 2^24. */
double between(double low, double high);
/* 2^-k for a k in 0 .. largest. */
double small_factor(int largest);

/* Numbers as their bits; a NaN has no sign and nothing else. */
uint64_t bits_of(int type, const void *numbers, ptrdiff_t index);
void print_bits(int type, const void *numbers, ptrdiff_t index);
/* One number that all bits of an array go into. */
uint64_t digest_of(int type, const void *numbers, ptrdiff_t count);
extern const char *const TYPE_NAME[TYPES];
void set_number(int type, void *numbers, ptrdiff_t index, double value);
void *memory(ptrdiff_t bytes);

void print_functions(void);
void print_rows(void);
void print_elements(void);
void print_terms(void);
void print_topk(void);
void print_families(void);

#endif
