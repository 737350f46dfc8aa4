#include "portable.h"

int amount = SHORT;
const char *const TYPE_NAME[TYPES] = {"f32", "f64"};

/* A xorshift generator. */
static uint64_t state;

void seed(uint64_t number) {
    state = number * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    for (int i = 0; i < 8; i++) draw();
}

uint64_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

double between(double low, double high) { return low + (high - low) * ((double)(draw() >> 40) * 0x1p-24); }

double small_factor(int largest) {
    int k = (int)(draw() >> 40) % (largest + 1);
    double factor = 1.0;
    for (int i = 0; i < k; i++) factor *= 0.5;
    return factor;
}

uint64_t bits_of(int type, const void *numbers, ptrdiff_t index) {
    if (type == FLOAT32) {
        float number = ((const float *)numbers)[index];
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        return number != number ? 0x7fc00000u : bits;
    }
    double number = ((const double *)numbers)[index];
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return number != number ? 0x7ff8000000000000u : bits;
}

void print_bits(int type, const void *numbers, ptrdiff_t index) {
    printf(type == FLOAT32 ? " %08" PRIx64 : " %016" PRIx64, bits_of(type, numbers, index));
}

uint64_t digest_of(int type, const void *numbers, ptrdiff_t count) {
    uint64_t digest = 0xcbf29ce484222325u;
    for (ptrdiff_t i = 0; i < count; i++) {
        digest = (digest ^ bits_of(type, numbers, i)) * 0x100000001b3u;
        digest ^= digest >> 29;
    }
    return digest;
}

void set_number(int type, void *numbers, ptrdiff_t index, double value) {
    if (type == FLOAT32) ((float *)numbers)[index] = (float)value;
    else ((double *)numbers)[index] = value;
}

void *memory(ptrdiff_t bytes) {
    void *place = calloc(1, (size_t)bytes + 64);
    if (!place) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return place;
}

int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "long") == 0) amount = LONG;
    if (count > 1 && strcmp(words[1], "inputs") == 0) amount = WITH_INPUTS;
    print_functions();
    print_rows();
    print_elements();
    print_terms();
    print_topk();
    print_families();
    return 0;
}
