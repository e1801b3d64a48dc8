// Simulates a dependency that merely looks at process.stdout: that alone makes a pipe on fd 1 non-blocking, and a
// synchronous write to a full pipe fails with EAGAIN from then on. Shows with the sink "slow" and more than 64 kB.
process.stdout.isTTY;
