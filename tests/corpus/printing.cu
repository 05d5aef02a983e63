// printf in kernels: what stands on standard output, compared with what the host's printf makes of the same.
#include <unistd.h>

#include "corpus.hpp"

__global__ void all_kinds() {
  printf("%d %u %x %X %o %c|%5d|%-5d|%05d|%+d\n", -5, 4000000000u, 255, 255, 8, 'q', 42, 42, 42, 42);
  printf("%f %.3f %e %g %10.2f|%-10.1f|%G\n", 1.5, 3.14159, 12345.678, 0.0001, 2.5, 2.5, 1e20);
  printf("%lld %llu %llx %ld %hd %%\n", -1234567890123ll, 18446744073709551615ull, 0xabcdef0123ull, 77l,
         static_cast<short>(-3));
  printf("%s and %10s and %-10s|\n", "text", "right", "left");
  printf("no arguments\n");
  const int count = printf("%d%d%d\n", 1, 2, 3);
  printf("returned %d\n", count);
}

__global__ void in_order(int round) {
  for (int i = 0; i < 3; ++i)
    if (threadIdx.x == static_cast<unsigned>(i))
      printf("round %d thread %d block %d\n", round, threadIdx.x, blockIdx.x);
}

int main() {
  std::fflush(stdout);
  // Standard output goes to a file meanwhile.
  char name[] = "/tmp/corpus-printing-XXXXXX";
  const int file = mkstemp(name);
  const int before = dup(1);
  REQUIRE(file >= 0 && before >= 0 && dup2(file, 1) == 1, "no temporary file");
  all_kinds<<<1, 1>>>();
  CHECK(cudaDeviceSynchronize());
  in_order<<<1, 32>>>(1);
  in_order<<<1, 32>>>(2);
  CHECK(cudaDeviceSynchronize());
  std::fflush(stdout);
  dup2(before, 1);
  std::vector<char> got(4096);
  const auto length = pread(file, got.data(), got.size(), 0);
  got.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  close(file);
  unlink(name);

  std::string wanted;
  char line[512];
  auto print = [&](int) { wanted += line; };
  print(std::snprintf(line, sizeof line, "%d %u %x %X %o %c|%5d|%-5d|%05d|%+d\n", -5, 4000000000u, 255, 255, 8, 'q', 42,
                      42, 42, 42));
  print(std::snprintf(line, sizeof line, "%f %.3f %e %g %10.2f|%-10.1f|%G\n", 1.5, 3.14159, 12345.678, 0.0001, 2.5, 2.5,
                      1e20));
  print(std::snprintf(line, sizeof line, "%lld %llu %llx %ld %hd %%\n", -1234567890123ll, 18446744073709551615ull,
                      0xabcdef0123ull, 77l, static_cast<short>(-3)));
  print(std::snprintf(line, sizeof line, "%s and %10s and %-10s|\n", "text", "right", "left"));
  // The device's printf returns how many arguments it had.
  wanted += "no arguments\n123\nreturned 3\n";
  for (int round = 1; round <= 2; ++round)
    for (int i = 0; i < 3; ++i) print(std::snprintf(line, sizeof line, "round %d thread %d block 0\n", round, i));
  if (std::string(got.begin(), got.end()) != wanted)
    fail("printed:\n%.*s\ninstead of:\n%s", static_cast<int>(got.size()), got.data(), wanted.c_str());
  corpus::print_exact("printing", got);
  std::printf("printing: ok\n");
}
