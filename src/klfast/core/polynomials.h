/* Made by tools/fit_polynomials.py; change that, not this. */
#ifndef KLFAST_POLYNOMIALS_H
#define KLFAST_POLYNOMIALS_H

#include "scalar.h"

/* (2*atanh(s)/s - 2)/z with z = s*s, |s| <= 0.2012; relative error 3.0e-8. */
static inline float log_polynomial_f32(float z) {
    float value = 0x1.d3f8bc0000000p-3f;
    value = fma_f32(value, z, 0x1.24c1380000000p-2f);
    value = fma_f32(value, z, 0x1.9998040000000p-2f);
    value = fma_f32(value, z, 0x1.5555560000000p-1f);
    return value;
}

/* (2*atanh(s)/s - 2)/z with z = s*s, |s| <= 0.2012; relative error 5.6e-17. */
static inline double log_polynomial_f64(double z) {
    double value = 0x1.1834fc23ed05ep-3;
    value = fma_f64(value, z, 0x1.0e55f0f02d565p-3);
    value = fma_f64(value, z, 0x1.3b2ca531a43ccp-3);
    value = fma_f64(value, z, 0x1.745c99a0cf384p-3);
    value = fma_f64(value, z, 0x1.c71c731e1a8e6p-3);
    value = fma_f64(value, z, 0x1.24924923ac143p-2);
    value = fma_f64(value, z, 0x1.999999999a104p-2);
    value = fma_f64(value, z, 0x1.5555555555555p-1);
    return value;
}

/* the same for |s| <= 0.3339; relative error 3.0e-8. */
static inline float middle_log_polynomial_f32(float z) {
    float value = 0x1.f991a20000000p-3f;
    value = fma_f32(value, z, 0x1.b6310a0000000p-3f);
    value = fma_f32(value, z, 0x1.24fe6c0000000p-2f);
    value = fma_f32(value, z, 0x1.9997bc0000000p-2f);
    value = fma_f32(value, z, 0x1.5555560000000p-1f);
    return value;
}

/* the same for |s| <= 0.3339; relative error 1.3e-16. */
static inline double middle_log_polynomial_f64(double z) {
    double value = 0x1.4b498744d53a8p-3;
    value = fma_f64(value, z, 0x1.684c654555003p-4);
    value = fma_f64(value, z, 0x1.eb95e56c9b2e5p-4);
    value = fma_f64(value, z, 0x1.10ac6a365b636p-3);
    value = fma_f64(value, z, 0x1.3b18adf615921p-3);
    value = fma_f64(value, z, 0x1.745cf122a6404p-3);
    value = fma_f64(value, z, 0x1.c71c726cb8f1dp-3);
    value = fma_f64(value, z, 0x1.24924923df4bbp-2);
    value = fma_f64(value, z, 0x1.999999999a275p-2);
    value = fma_f64(value, z, 0x1.5555555555555p-1);
    return value;
}

/* the same, for floats in double; relative error 1.1e-8. */
static inline double short_log_polynomial_f64(double z) {
    double value = 0x1.d95861bd4ca8ap-3;
    value = fma_f64(value, z, 0x1.bd258a76af465p-3);
    value = fma_f64(value, z, 0x1.24c29153ea229p-2);
    value = fma_f64(value, z, 0x1.999909c901138p-2);
    value = fma_f64(value, z, 0x1.5555555555555p-1);
    return value;
}

/* the same for |s| <= 0.502; relative error 6.9e-8. */
static inline float wide_log_polynomial_f32(float z) {
    float value = 0x1.3eae480000000p-2f;
    value = fma_f32(value, z, 0x1.0feda00000000p-3f);
    value = fma_f32(value, z, 0x1.d42e760000000p-3f);
    value = fma_f32(value, z, 0x1.2438c20000000p-2f);
    value = fma_f32(value, z, 0x1.999af00000000p-2f);
    value = fma_f32(value, z, 0x1.5555560000000p-1f);
    return value;
}

/* the same for |s| <= 0.502; relative error 3.1e-16. */
static inline double wide_log_polynomial_f64(double z) {
    double value = 0x1.98ca40d2e7906p-2;
    value = fma_f64(value, z, -0x1.cca276132b165p-3);
    value = fma_f64(value, z, 0x1.dc493485daf09p-3);
    value = fma_f64(value, z, 0x1.af92cbd548d63p-5);
    value = fma_f64(value, z, 0x1.d09bc9e44c1cep-4);
    value = fma_f64(value, z, 0x1.dd8dac00219dbp-4);
    value = fma_f64(value, z, 0x1.11417a8c327e7p-3);
    value = fma_f64(value, z, 0x1.3b10e4e6fe8abp-3);
    value = fma_f64(value, z, 0x1.745d317323ffap-3);
    value = fma_f64(value, z, 0x1.c71c7138b52bbp-3);
    value = fma_f64(value, z, 0x1.2492492552114p-2);
    value = fma_f64(value, z, 0x1.9999999998ecdp-2);
    value = fma_f64(value, z, 0x1.5555555555555p-1);
    return value;
}

/* (exp(r) - 1 - r)/r^2, |r| <= 0.347; relative error 1.4e-7. */
static inline float exp_polynomial_f32(float r) {
    float value = 0x1.6dc6c80000000p-10f;
    value = fma_f32(value, r, 0x1.12139e0000000p-7f);
    value = fma_f32(value, r, 0x1.5554c00000000p-5f);
    value = fma_f32(value, r, 0x1.5554d60000000p-3f);
    value = fma_f32(value, r, 0x1.0000000000000p-1f);
    return value;
}
static const float exp_polynomial_coefficients_f32[] = {
    0x1.6dc6c80000000p-10f,
    0x1.12139e0000000p-7f,
    0x1.5554c00000000p-5f,
    0x1.5554d60000000p-3f,
    0x1.0000000000000p-1f};

/* (exp(r) - 1 - r)/r^2, |r| <= 0.347; relative error 4.2e-18. */
static inline double exp_polynomial_f64(double r) {
    double value = 0x1.1fd09acc74c11p-29;
    value = fma_f64(value, r, 0x1.af525a1775480p-26);
    value = fma_f64(value, r, 0x1.27e4ad924b5bdp-22);
    value = fma_f64(value, r, 0x1.71de000871c21p-19);
    value = fma_f64(value, r, 0x1.a01a01b5913b3p-16);
    value = fma_f64(value, r, 0x1.a01a01ac98726p-13);
    value = fma_f64(value, r, 0x1.6c16c16c14760p-10);
    value = fma_f64(value, r, 0x1.111111110ff95p-7);
    value = fma_f64(value, r, 0x1.5555555555557p-5);
    value = fma_f64(value, r, 0x1.5555555555557p-3);
    value = fma_f64(value, r, 0x1.0000000000000p-1);
    return value;
}
static const double exp_polynomial_coefficients_f64[] = {
    0x1.1fd09acc74c11p-29,
    0x1.af525a1775480p-26,
    0x1.27e4ad924b5bdp-22,
    0x1.71de000871c21p-19,
    0x1.a01a01b5913b3p-16,
    0x1.a01a01ac98726p-13,
    0x1.6c16c16c14760p-10,
    0x1.111111110ff95p-7,
    0x1.5555555555557p-5,
    0x1.5555555555557p-3,
    0x1.0000000000000p-1};

/* the same for |r| <= 0.525; relative error 3.2e-9. */
static inline float middle_exp_polynomial_f32(float r) {
    float value = 0x1.a3fad20000000p-16f;
    value = fma_f32(value, r, 0x1.a3002e0000000p-13f);
    value = fma_f32(value, r, 0x1.6c13a60000000p-10f);
    value = fma_f32(value, r, 0x1.110f680000000p-7f);
    value = fma_f32(value, r, 0x1.5555560000000p-5f);
    value = fma_f32(value, r, 0x1.5555560000000p-3f);
    value = fma_f32(value, r, 0x1.0000000000000p-1f);
    return value;
}

/* the same for |r| <= 0.525; relative error 7.5e-17. */
static inline double middle_exp_polynomial_f64(double r) {
    double value = 0x1.165868a349026p-33;
    value = fma_f64(value, r, 0x1.201fe8437ba82p-29);
    value = fma_f64(value, r, 0x1.aed6de392ac93p-26);
    value = fma_f64(value, r, 0x1.27e4529ac05a9p-22);
    value = fma_f64(value, r, 0x1.71ddfb0a9eab3p-19);
    value = fma_f64(value, r, 0x1.a01a01f18014fp-16);
    value = fma_f64(value, r, 0x1.a01a01bea4151p-13);
    value = fma_f64(value, r, 0x1.6c16c16c06bf6p-10);
    value = fma_f64(value, r, 0x1.111111110b0f3p-7);
    value = fma_f64(value, r, 0x1.5555555555572p-5);
    value = fma_f64(value, r, 0x1.555555555556ap-3);
    value = fma_f64(value, r, 0x1.0000000000000p-1);
    return value;
}

/* the same for |r| <= 1.05; relative error 4.8e-8. */
static inline float wide_exp_polynomial_f32(float r) {
    float value = 0x1.0721fc0000000p-19f;
    value = fma_f32(value, r, 0x1.a915d00000000p-16f);
    value = fma_f32(value, r, 0x1.a372160000000p-13f);
    value = fma_f32(value, r, 0x1.6c02fc0000000p-10f);
    value = fma_f32(value, r, 0x1.1109a60000000p-7f);
    value = fma_f32(value, r, 0x1.55556a0000000p-5f);
    value = fma_f32(value, r, 0x1.5555660000000p-3f);
    value = fma_f32(value, r, 0x1.0000000000000p-1f);
    return value;
}

/* the same for |r| <= 1.05; relative error 1.4e-16. */
static inline double wide_exp_polynomial_f64(double r) {
    double value = 0x1.61c06cf07d66fp-41;
    value = fma_f64(value, r, 0x1.99a5e395df8d4p-37);
    value = fma_f64(value, r, 0x1.624322beee1e6p-33);
    value = fma_f64(value, r, 0x1.1ee5362da446cp-29);
    value = fma_f64(value, r, 0x1.ae61377c29849p-26);
    value = fma_f64(value, r, 0x1.27e5067d73384p-22);
    value = fma_f64(value, r, 0x1.71de3e7957b12p-19);
    value = fma_f64(value, r, 0x1.a01a0191f75fap-16);
    value = fma_f64(value, r, 0x1.a01a019ac8972p-13);
    value = fma_f64(value, r, 0x1.6c16c16c1e838p-10);
    value = fma_f64(value, r, 0x1.1111111113fc3p-7);
    value = fma_f64(value, r, 0x1.555555555552ep-5);
    value = fma_f64(value, r, 0x1.5555555555538p-3);
    value = fma_f64(value, r, 0x1.0000000000000p-1);
    return value;
}

/* the same for |r| <= 2.05; relative error 2.0e-8. */
static inline float widest_exp_polynomial_f32(float r) {
    float value = 0x1.44bf5e0000000p-29f;
    value = fma_f32(value, r, 0x1.d387f00000000p-26f);
    value = fma_f32(value, r, 0x1.25ef460000000p-22f);
    value = fma_f32(value, r, 0x1.707cb80000000p-19f);
    value = fma_f32(value, r, 0x1.a02e660000000p-16f);
    value = fma_f32(value, r, 0x1.a025660000000p-13f);
    value = fma_f32(value, r, 0x1.6c16700000000p-10f);
    value = fma_f32(value, r, 0x1.1110ec0000000p-7f);
    value = fma_f32(value, r, 0x1.5555560000000p-5f);
    value = fma_f32(value, r, 0x1.5555560000000p-3f);
    value = fma_f32(value, r, 0x1.0000000000000p-1f);
    return value;
}

/* the same for |r| <= 2.05; relative error 5.9e-17. */
static inline double widest_exp_polynomial_f64(double r) {
    double value = 0x1.0b36eac95c3fep-57;
    value = fma_f64(value, r, 0x1.795e6b6dfffe0p-53);
    value = fma_f64(value, r, 0x1.98331788b4e58p-49);
    value = fma_f64(value, r, 0x1.ae008fcd76b42p-45);
    value = fma_f64(value, r, 0x1.ae67eb7d70321p-41);
    value = fma_f64(value, r, 0x1.939936d279cc6p-37);
    value = fma_f64(value, r, 0x1.6124bdadf168bp-33);
    value = fma_f64(value, r, 0x1.1eed8ac130077p-29);
    value = fma_f64(value, r, 0x1.ae6454e377e52p-26);
    value = fma_f64(value, r, 0x1.27e4fb82233f9p-22);
    value = fma_f64(value, r, 0x1.71de3a5974dfcp-19);
    value = fma_f64(value, r, 0x1.a01a019ffe014p-16);
    value = fma_f64(value, r, 0x1.a01a01a00f5a7p-13);
    value = fma_f64(value, r, 0x1.6c16c16c16e28p-10);
    value = fma_f64(value, r, 0x1.11111111111dap-7);
    value = fma_f64(value, r, 0x1.5555555555554p-5);
    value = fma_f64(value, r, 0x1.5555555555554p-3);
    value = fma_f64(value, r, 0x1.0000000000000p-1);
    return value;
}

/* ((1+s)log(1+s) + (1-s)log(1-s))/(2z) with z = s*s, |s| <= 0.65; relative error 1.6e-8. */
static inline float js_polynomial_f32(float z) {
    float value = 0x1.57fde80000000p-6f;
    value = fma_f32(value, z, -0x1.fa15be0000000p-9f);
    value = fma_f32(value, z, 0x1.e4a3320000000p-7f);
    value = fma_f32(value, z, 0x1.1b35ca0000000p-6f);
    value = fma_f32(value, z, 0x1.1164c00000000p-5f);
    value = fma_f32(value, z, 0x1.5554600000000p-4f);
    value = fma_f32(value, z, 0x1.0000000000000p-1f);
    return value;
}

/* (1-h)*log(2*(1-h)), 0 <= h <= 0.18; relative error 2.7e-8. */
static inline float js_far_polynomial_f32(float h) {
    float value = 0x1.25c2c00000000p-4f;
    value = fma_f32(value, h, 0x1.43d89a0000000p-4f);
    value = fma_f32(value, h, 0x1.5606620000000p-3f);
    value = fma_f32(value, h, 0x1.fffdba0000000p-2f);
    value = fma_f32(value, h, -0x1.b172180000000p+0f);
    value = fma_f32(value, h, 0x1.62e4300000000p-1f);
    return value;
}

/* -(m*log(m) + d*exp(-d)/2)/d^2 with m = (1 + exp(-d))/2, |d| <= 2.05; relative error 2.1e-8. */
static inline float js_of_ratio_polynomial_f32(float d) {
    float value = 0x1.2c087a0000000p-29f;
    value = fma_f32(value, d, 0x1.2df81c0000000p-28f);
    value = fma_f32(value, d, -0x1.4195fa0000000p-24f);
    value = fma_f32(value, d, -0x1.b8d80a0000000p-27f);
    value = fma_f32(value, d, 0x1.bac4ce0000000p-23f);
    value = fma_f32(value, d, 0x1.6b53760000000p-17f);
    value = fma_f32(value, d, -0x1.6bcadc0000000p-14f);
    value = fma_f32(value, d, 0x1.c720de0000000p-12f);
    value = fma_f32(value, d, -0x1.5556be0000000p-9f);
    value = fma_f32(value, d, 0x1.fffff80000000p-7f);
    value = fma_f32(value, d, -0x1.fffffc0000000p-5f);
    value = fma_f32(value, d, 0x1.0000000000000p-3f);
    return value;
}

/* the same for |d| <= 1.55; relative error 9.1e-17. */
static inline double js_of_ratio_polynomial_f64(double d) {
    double value = 0x1.3b758fb4952a2p-51;
    value = fma_f64(value, d, 0x1.7c13911195adap-52);
    value = fma_f64(value, d, -0x1.0eccbf986f81fp-46);
    value = fma_f64(value, d, -0x1.45144c9926268p-47);
    value = fma_f64(value, d, 0x1.0c640f6ce86b6p-42);
    value = fma_f64(value, d, 0x1.50a2da996bd18p-43);
    value = fma_f64(value, d, -0x1.b67edd02f12cfp-39);
    value = fma_f64(value, d, -0x1.2e7112a31455bp-39);
    value = fma_f64(value, d, 0x1.5667c4ce1c661p-35);
    value = fma_f64(value, d, 0x1.0e2ef2435f3bbp-35);
    value = fma_f64(value, d, -0x1.0e5a11a6ef9d3p-31);
    value = fma_f64(value, d, -0x1.f0f9636a50870p-32);
    value = fma_f64(value, d, 0x1.b2de85bb9b2f5p-28);
    value = fma_f64(value, d, 0x1.0f3c7214a5ce6p-27);
    value = fma_f64(value, d, -0x1.96dacd60bc2b7p-24);
    value = fma_f64(value, d, -0x1.bbd773a967bfcp-26);
    value = fma_f64(value, d, 0x1.1566aac63b2c0p-22);
    value = fma_f64(value, d, 0x1.6c16c16b8ac89p-17);
    value = fma_f64(value, d, -0x1.6c16c16bea897p-14);
    value = fma_f64(value, d, 0x1.c71c71c71cd75p-12);
    value = fma_f64(value, d, -0x1.5555555555726p-9);
    value = fma_f64(value, d, 0x1.fffffffffffffp-7);
    value = fma_f64(value, d, -0x1.fffffffffffffp-5);
    value = fma_f64(value, d, 0x1.0000000000000p-3);
    return value;
}

/* (1+v)*log(2/(1+v)), 0 <= v <= exp(-2); relative error 4.1e-9. */
static inline float js_beyond_polynomial_f32(float v) {
    float value = 0x1.3aee2a0000000p-6f;
    value = fma_f32(value, v, -0x1.33a25a0000000p-4f);
    value = fma_f32(value, v, 0x1.537f4e0000000p-3f);
    value = fma_f32(value, v, -0x1.fff5140000000p-2f);
    value = fma_f32(value, v, -0x1.3a37ce0000000p-2f);
    value = fma_f32(value, v, 0x1.62e4300000000p-1f);
    return value;
}

/* the same up to exp(-1.5); relative error 3.4e-17. */
static inline double js_beyond_polynomial_f64(double v) {
    double value = -0x1.729a356d925b1p-7;
    value = fma_f64(value, v, 0x1.2ea652d221fe3p-6);
    value = fma_f64(value, v, -0x1.1bfc70fe31889p-6);
    value = fma_f64(value, v, 0x1.07d0eb897d11bp-6);
    value = fma_f64(value, v, -0x1.2c94559d4ce67p-6);
    value = fma_f64(value, v, 0x1.8740de2837487p-6);
    value = fma_f64(value, v, -0x1.111f50cf17d99p-5);
    value = fma_f64(value, v, 0x1.999a801f322d6p-5);
    value = fma_f64(value, v, -0x1.555559f42a6ffp-4);
    value = fma_f64(value, v, 0x1.555555635c674p-3);
    value = fma_f64(value, v, -0x1.000000000b148p-1);
    value = fma_f64(value, v, -0x1.3a37a020b8a61p-2);
    value = fma_f64(value, v, 0x1.62e42fefa39efp-1);
    return value;
}

/* (2*h - 2*tanh(h)*(1 + log(cosh(h))))/d^3 with h = d/2 and z = d*d, |d| <= 2.04; relative error 1.1e-7. */
static inline float js_skew_polynomial_f32(float z) {
    float value = 0x1.09d9cc0000000p-28f;
    value = fma_f32(value, z, -0x1.aa653e0000000p-24f);
    value = fma_f32(value, z, 0x1.6405ce0000000p-20f);
    value = fma_f32(value, z, -0x1.be998a0000000p-17f);
    value = fma_f32(value, z, 0x1.f0737e0000000p-14f);
    value = fma_f32(value, z, -0x1.00c7640000000p-10f);
    value = fma_f32(value, z, 0x1.dddda20000000p-8f);
    value = fma_f32(value, z, -0x1.5555560000000p-5f);
    return value;
}

/* the same for |d| <= 1.54; relative error 4.1e-16. */
static inline double js_skew_polynomial_f64(double z) {
    double value = -0x1.da5b466e6a72dp-45;
    value = fma_f64(value, z, 0x1.745927cdd4199p-40);
    value = fma_f64(value, z, -0x1.40d255ca2ffd5p-36);
    value = fma_f64(value, z, 0x1.adee19602caecp-33);
    value = fma_f64(value, z, -0x1.056cc6daded25p-29);
    value = fma_f64(value, z, 0x1.33b676f0787b4p-26);
    value = fma_f64(value, z, -0x1.64eb95060ac7bp-23);
    value = fma_f64(value, z, 0x1.982d19b1a97b4p-20);
    value = fma_f64(value, z, -0x1.c9af76f1fcc66p-17);
    value = fma_f64(value, z, 0x1.f1bb8d62f6132p-14);
    value = fma_f64(value, z, -0x1.00d00d00a0663p-10);
    value = fma_f64(value, z, 0x1.dddddddddd6d5p-8);
    value = fma_f64(value, z, -0x1.5555555555555p-5);
    return value;
}

/* (1-v)*(log(2/(1+v)) - 1), 0 <= v <= exp(-2); relative error 1.0e-8. */
static inline float js_skew_beyond_polynomial_f32(float v) {
    float value = -0x1.64c1320000000p-2f;
    value = fma_f32(value, v, 0x1.256bb40000000p-1f);
    value = fma_f32(value, v, -0x1.aa83060000000p-1f);
    value = fma_f32(value, v, 0x1.8000880000000p+0f);
    value = fma_f32(value, v, -0x1.62e43e0000000p-1f);
    value = fma_f32(value, v, -0x1.3a37a00000000p-2f);
    return value;
}

/* the same up to exp(-1.5); relative error 7.6e-17. */
static inline double js_skew_beyond_polynomial_f64(double v) {
    double value = 0x1.4b6a99f147e67p-5;
    value = fma_f64(value, v, -0x1.dae2ddfc2f8c6p-4);
    value = fma_f64(value, v, 0x1.7715576c24a49p-3);
    value = fma_f64(value, v, -0x1.d50a1689fff4ep-3);
    value = fma_f64(value, v, 0x1.1104058c4a4bap-2);
    value = fma_f64(value, v, -0x1.3ccc5c7f2320ep-2);
    value = fma_f64(value, v, 0x1.77742d1708c34p-2);
    value = fma_f64(value, v, -0x1.cccc9da10216ep-2);
    value = fma_f64(value, v, 0x1.2aaaa9d170155p-1);
    value = fma_f64(value, v, -0x1.aaaaaaa6023b4p-1);
    value = fma_f64(value, v, 0x1.7ffffffff9538p+0);
    value = fma_f64(value, v, -0x1.62e42fefa38fap-1);
    value = fma_f64(value, v, -0x1.3a37a020b8c22p-2);
    return value;
}

/* log1p(t)/t, |t| <= 0.334; relative error 3.3e-8. */
static inline float log1p_polynomial_f32(float t) {
    float value = 0x1.15645c0000000p-3f;
    value = fma_f32(value, t, -0x1.3d49ba0000000p-3f);
    value = fma_f32(value, t, 0x1.2094fe0000000p-3f);
    value = fma_f32(value, t, -0x1.4fd1c20000000p-3f);
    value = fma_f32(value, t, 0x1.99b6bc0000000p-3f);
    value = fma_f32(value, t, -0x1.0016f80000000p-2f);
    value = fma_f32(value, t, 0x1.55553a0000000p-2f);
    value = fma_f32(value, t, -0x1.ffffcc0000000p-2f);
    value = fma_f32(value, t, 0x1.0000000000000p+0f);
    return value;
}

/* log gamma(x) - (x - 1/2)*log(x) + x is a constant and the sum of STIRLING[k]/x^(2k + 1), x >= STIRLING_FROM;
 * relative error of the second derivative 3.7e-16. */
enum { STIRLING_FROM = 4, STIRLING_TERMS = 11 };
static const double STIRLING[STIRLING_TERMS] = {
    0x1.5555555555555p-4,
    -0x1.6c16c16c0f39bp-9,
    0x1.a01a01798a4cep-11,
    -0x1.38136a3445881p-11,
    0x1.b949e856b1d17p-11,
    -0x1.f5c870374a427p-10,
    0x1.9b989f04da1d0p-8,
    -0x1.aaca4f70d8754p-6,
    0x1.c744d22ddb37dp-4,
    -0x1.7d33f3b2a1dccp-2,
    0x1.5064e8aab6a5dp-1};

#endif
