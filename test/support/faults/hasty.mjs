// Simulates time that runs fast: every deadline comes after a fraction of a second, so that nobody has to wait for it.
const real = AbortSignal.timeout;
AbortSignal.timeout = () => real.call(AbortSignal, 300);
