/* What a guest's root can do to a PCI device behind its driver's back: bar DEVICE scan TEXT counts TEXT in BAR2;
 * bar DEVICE garbage SEED overwrites all of BAR2 and BAR0. DEVICE: 0000:00:02.0. The kernel must allow it
 * (iomem=relaxed). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static unsigned char* map(const char* device, int bar, size_t* bytes) {
  char path[128];
  struct stat status;
  unsigned char* at;
  int fd;

  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%d", device, bar);
  fd = open(path, O_RDWR | O_SYNC);
  if (fd < 0 || fstat(fd, &status)) {
    perror(path);
    exit(1);
  }
  *bytes = status.st_size;
  at = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    perror(path);
    exit(1);
  }
  return at;
}

static uint64_t random_state;

static uint64_t next_random(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return random_state ^ random_state >> 29;
}

static void garbage(const char* device, uint64_t seed) {
  size_t bytes, i;
  unsigned char* bar = map(device, 2, &bytes);

  random_state = seed;
  for (i = 0; i < bytes; i += sizeof(uint64_t)) *(volatile uint64_t*)(bar + i) = next_random();
  bar = map(device, 0, &bytes);
  for (i = 0; i < bytes; i += sizeof(uint32_t)) *(volatile uint32_t*)(bar + i) = (uint32_t)next_random();
  printf("ok\n");
}

static void scan(const char* device, const char* text) {
  size_t bytes, length = strlen(text);
  unsigned char *bar = map(device, 2, &bytes), *at = bar;
  unsigned long found = 0;

  while ((at = memmem(at, bar + bytes - at, text, length))) {
    found++;
    at += length;
  }
  printf("ok %lu\n", found);
}

int main(int argc, char** argv) {
  if (argc == 4 && !strcmp(argv[2], "scan"))
    scan(argv[1], argv[3]);
  else if (argc == 4 && !strcmp(argv[2], "garbage"))
    garbage(argv[1], strtoull(argv[3], NULL, 0));
  else
    return fprintf(stderr, "usage: bar DEVICE scan TEXT | garbage SEED\n"), 2;
  return 0;
}
