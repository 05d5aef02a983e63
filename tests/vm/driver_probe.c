/* Uses /dev/vgpu0 step by step as its standard input says, one line of answer for each line: "ok …" or "error NAME". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/device.h"
#include "protocol/driver.h"

enum { kFiles = 80, kMaps = 64 };

struct map {
  char name[32];
  unsigned char* address;
  size_t bytes;
};

static int files[kFiles];
static int file_count;
static int current = -1;
static struct map maps[kMaps];
static char line[4096];

static void interrupted(int signal) { (void)signal; }

static bool fail(void) {
  printf("error %s\n", strerrorname_np(errno));
  return false;
}

static bool done(void) {
  printf("ok\n");
  return true;
}

static struct map* find_map(const char* name) {
  for (int i = 0; i < kMaps; ++i)
    if (maps[i].address && strcmp(maps[i].name, name) == 0) return &maps[i];
  printf("error no such mapping %s\n", name);
  return NULL;
}

static bool do_open(char* arguments) {
  int flags = strstr(arguments, "nonblock") ? O_NONBLOCK : 0;
  int file = open("/dev/vgpu0", O_RDWR | O_CLOEXEC | flags);
  if (file < 0) return fail();
  current = file;
  files[file_count++ % kFiles] = file;
  return done();
}

static bool do_use(char* arguments) {
  current = files[atoi(arguments)];
  return done();
}

static bool do_close(char* arguments) {
  (void)arguments;
  return close(current) ? fail() : done();
}

static bool do_connect(char* arguments) {
  struct vgpu_connect connect = {.abi = VGPU_DRIVER_ABI, .version = VGPU_VERSION, .features = 3};
  (void)arguments;
  if (ioctl(current, VGPU_IOC_CONNECT, &connect)) {
    printf("error %s %s\n", strerrorname_np(errno), connect.text);
    return false;
  }
  printf("ok result=%d reason=%u session=%u vm=%u region=%llu doorbell=%u text=%s\n", connect.result, connect.reason,
         connect.session, connect.vm, (unsigned long long)connect.region_bytes, connect.doorbell_mappable,
         connect.text);
  return true;
}

static bool do_wait(char* arguments) {
  struct vgpu_wait wait = {0};
  unsigned long long timeout = 0;
  sscanf(arguments, "%u %u %llu", &wait.slot, &wait.ticket, &timeout);
  wait.timeout_ns = timeout;
  struct timeval before, after;
  gettimeofday(&before, NULL);
  if (ioctl(current, VGPU_IOC_WAIT, &wait)) return fail();
  gettimeofday(&after, NULL);
  printf("ok ms=%ld\n", (after.tv_sec - before.tv_sec) * 1000 + (after.tv_usec - before.tv_usec) / 1000);
  return true;
}

static bool do_take(char* arguments) {
  struct vgpu_extent extent = {.bytes = strtoull(arguments, NULL, 0)};
  if (ioctl(current, VGPU_IOC_TAKE_EXTENT, &extent)) return fail();
  printf("ok %llu %llu\n", (unsigned long long)extent.bytes, (unsigned long long)extent.offset);
  return true;
}

static bool do_give(char* arguments) {
  unsigned long long offset = 0, bytes = 0;
  sscanf(arguments, "%llu %llu", &offset, &bytes);
  struct vgpu_extent extent = {.bytes = bytes, .offset = offset};
  return ioctl(current, VGPU_IOC_GIVE_EXTENT, &extent) ? fail() : done();
}

/* map NAME channel|doorbell|extent OFFSET BYTES [private|readonly] */
static bool do_map(char* arguments) {
  char name[32], kind[16], how[16] = "";
  unsigned long long offset = 0, bytes = 0;
  sscanf(arguments, "%31s %15s %llu %llu %15s", name, kind, &offset, &bytes, how);
  if (strcmp(kind, "doorbell") == 0) offset += VGPU_MMAP_DOORBELL;
  if (strcmp(kind, "extent") == 0) offset += VGPU_MMAP_EXTENT;
  int protection = strcmp(how, "readonly") == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
  void* address =
      mmap(NULL, bytes, protection, strcmp(how, "private") == 0 ? MAP_PRIVATE : MAP_SHARED, current, (off_t)offset);
  if (address == MAP_FAILED) return fail();
  for (int i = 0; i < kMaps; ++i) {
    if (maps[i].address) continue;
    strcpy(maps[i].name, name);
    maps[i].address = address;
    maps[i].bytes = bytes;
    return done();
  }
  return done();
}

static bool do_unmap(char* arguments) {
  struct map* map = find_map(arguments);
  if (!map) return false;
  munmap(map->address, map->bytes);
  map->address = NULL;
  return done();
}

static bool do_peek(char* arguments) {
  char name[32];
  unsigned long long offset = 0;
  sscanf(arguments, "%31s %llu", name, &offset);
  struct map* map = find_map(name);
  if (!map) return false;
  printf("ok %u\n", *(volatile uint32_t*)(map->address + offset));
  return true;
}

static bool do_poke(char* arguments) {
  char name[32];
  unsigned long long offset = 0;
  unsigned value = 0;
  sscanf(arguments, "%31s %llu %u", name, &offset, &value);
  struct map* map = find_map(name);
  if (!map) return false;
  *(volatile uint32_t*)(map->address + offset) = value;
  return done();
}

static bool do_fill(char* arguments) {
  char name[32];
  unsigned value = 0;
  sscanf(arguments, "%31s %u", name, &value);
  struct map* map = find_map(name);
  if (!map) return false;
  memset(map->address, (int)value, map->bytes);
  return done();
}

/* How many bytes are not the value? */
static bool do_differ(char* arguments) {
  char name[32];
  unsigned value = 0;
  unsigned long long differ = 0;
  sscanf(arguments, "%31s %u", name, &value);
  struct map* map = find_map(name);
  if (!map) return false;
  for (size_t i = 0; i < map->bytes; ++i) differ += map->address[i] != (unsigned char)value;
  printf("ok %llu\n", differ);
  return true;
}

static bool do_read(char* arguments) {
  uint32_t count = 0;
  (void)arguments;
  ssize_t bytes = read(current, &count, sizeof(count));
  if (bytes < 0) return fail();
  printf("ok bytes=%zd count=%u\n", bytes, count);
  return true;
}

static bool do_ring(char* arguments) {
  (void)arguments;
  return write(current, "", 1) < 0 ? fail() : done();
}

static bool do_poll(char* arguments) {
  struct pollfd entry = {.fd = current, .events = POLLIN};
  if (poll(&entry, 1, atoi(arguments)) < 0) return fail();
  printf("ok%s%s%s\n", entry.revents & POLLIN ? " in" : "", entry.revents & POLLHUP ? " hup" : "",
         entry.revents & POLLERR ? " err" : "");
  return true;
}

/* A signal with a handler that restarts nothing, each so many milliseconds: one alone could come before the call that
 * it is to interrupt. 0: none any more. */
static bool do_alarm(char* arguments) {
  struct sigaction action = {.sa_handler = interrupted};
  int ms = atoi(arguments);
  struct timeval period = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  struct itimerval timer = {.it_interval = period, .it_value = period};
  sigaction(SIGALRM, &action, NULL);
  return setitimer(ITIMER_REAL, &timer, NULL) ? fail() : done();
}

/* Is the mapping there in a child of fork(), for which its process asks? */
static bool do_fork(char* arguments) {
  struct map* map = find_map(arguments);
  if (!map) return false;
  unsigned char resident;
  madvise(map->address, 4096, MADV_DOFORK);
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) return fail();
  if (child == 0) _exit(mincore(map->address, 4096, &resident) && errno == ENOMEM ? 0 : 1);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  printf("ok %s\n", status == 0 ? "absent" : "inherited");
  return true;
}

static bool do_ioctl(char* arguments) {
  unsigned char data[256] = {0};
  return ioctl(current, strtoul(arguments, NULL, 0), data) ? fail() : done();
}

static const struct {
  const char* name;
  bool (*run)(char* arguments);
} kSteps[] = {
    {"open", do_open}, {"use", do_use},     {"close", do_close},   {"connect", do_connect}, {"wait", do_wait},
    {"take", do_take}, {"give", do_give},   {"map", do_map},       {"unmap", do_unmap},     {"peek", do_peek},
    {"poke", do_poke}, {"fill", do_fill},   {"differ", do_differ}, {"read", do_read},       {"ring", do_ring},
    {"poll", do_poll}, {"alarm", do_alarm}, {"fork", do_fork},     {"ioctl", do_ioctl},
};

static void step(char* text) {
  char* arguments = strchr(text, ' ');
  if (arguments)
    *arguments++ = '\0';
  else
    arguments = text + strlen(text);
  for (size_t i = 0; i < sizeof(kSteps) / sizeof(kSteps[0]); ++i) {
    if (strcmp(text, kSteps[i].name) != 0) continue;
    kSteps[i].run(arguments);
    return;
  }
  printf("error unknown step %s\n", text);
}

static bool next_line(void) {
  while (!fgets(line, sizeof(line), stdin)) {
    if (!ferror(stdin) || errno != EINTR) return false;
    clearerr(stdin);
  }
  line[strcspn(line, "\n")] = '\0';
  return true;
}

/* Steps as arguments are carried out first; with any, the standard input is not read. */
int main(int count, char** arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < count; ++i) {
    snprintf(line, sizeof(line), "%s", arguments[i]);
    step(line);
  }
  while (count == 1 && next_line()) step(line);
  return 0;
}
