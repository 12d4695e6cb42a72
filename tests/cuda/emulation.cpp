#include "tests/cuda/emulation.h"

namespace emulation
{

kernel *&kernel::all()
{
    static kernel *first;
    return first;
}

/* Rounds to a binary number of `fraction` bits behind the point and exponents from `least` on, ties
 * to even; the magnitude of x is finite. */
static double rounded(double x, int fraction, int least)
{
    int exponent;
    frexp(x, &exponent);
    const int unit = (exponent - 1 < least ? least : exponent - 1) - fraction;
    return ldexp(nearbyint(ldexp(x, -unit)), unit);
}

static float widened(unsigned short bits, int fraction, int exponent_bits)
{
    const int most = (1 << exponent_bits) - 1, bias = most / 2;
    const int exponent = bits >> fraction & most, rest = bits & ((1 << fraction) - 1);
    const float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == most)
        return rest ? NAN : sign * INFINITY;
    const double value = exponent ? ldexp(rest + (1 << fraction), exponent - bias - fraction)
                                  : ldexp(rest, 1 - bias - fraction);
    return sign * (float)value;
}

static unsigned short narrowed(float x, int fraction, int exponent_bits)
{
    const int most = (1 << exponent_bits) - 1, bias = most / 2;
    const unsigned sign = std::signbit(x) ? 0x8000 : 0;
    if (std::isnan(x))
        return (unsigned short)(sign | (unsigned)most << fraction | 1u << (fraction - 1));
    const double y = std::isinf(x) ? INFINITY : rounded(std::fabs((double)x), fraction, 1 - bias);
    if (y >= ldexp(2, bias))
        return (unsigned short)(sign | (unsigned)most << fraction);
    if (y < ldexp(1, 1 - bias))
        return (unsigned short)(sign | (unsigned)ldexp(y, bias - 1 + fraction));
    int exponent;
    const double significand = frexp(y, &exponent) * 2 - 1;
    return (unsigned short)(sign | (unsigned)(exponent - 1 + bias) << fraction |
                            (unsigned)ldexp(significand, fraction));
}

} // namespace emulation

float f16_to_float(unsigned short bits)
{
    return emulation::widened(bits, 10, 5);
}

float bf16_to_float(unsigned short bits)
{
    return emulation::widened(bits, 7, 8);
}

unsigned short float_to_f16(float x)
{
    return emulation::narrowed(x, 10, 5);
}

unsigned short float_to_bf16(float x)
{
    return emulation::narrowed(x, 7, 8);
}
