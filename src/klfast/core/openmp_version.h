/* Whether, and after which OpenMP, the Cython module was compiled. */
#ifndef KLFAST_OPENMP_VERSION_H
#define KLFAST_OPENMP_VERSION_H

#ifdef _OPENMP
enum { KLFAST_HAS_OPENMP = 1, KLFAST_OPENMP_VERSION = _OPENMP };
#else
enum { KLFAST_HAS_OPENMP = 0, KLFAST_OPENMP_VERSION = 0 };
#endif

#endif
