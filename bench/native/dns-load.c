/*
 * What a name server is measured with: questions for A records of `name<N>.skein.local` from several network namespaces, on
 * one CPU, so many under way at once.
 *
 *   dns-load CPU SECONDS IN_FLIGHT RATE NAMES ADDRESS NAMESPACE...
 *
 * With RATE 0 the next question goes out as an answer comes in. Else so many a second go out at times set before, whatever
 * comes back, and a question that has to wait until one of IN_FLIGHT is free has waited since its time. Writes one line of
 * JSON; `stood` is the share of the time for which this process did not run, by half a millisecond and more at a time,
 * though it never waits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

enum { MOST_SOCKETS = 256, MOST_IN_FLIGHT = 256, MOST_SAMPLES = 1 << 23, BATCH = 64 };
static const uint64_t patience = 1000000000u, noticed = 500000u;

struct slot {
  uint64_t since;
  uint16_t id;
  int busy;
};

static int sockets[MOST_SOCKETS], socket_count, next_socket;
static struct slot slots[MOST_IN_FLIGHT];
static int slot_count;
static uint32_t samples[MOST_SAMPLES];
static uint64_t answered, lost, wrong;
static unsigned names, seed = 1;
static uint16_t turn;

static int open_in(const char *namespace, const char *address) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
  int fd = open(namespace, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) fail(namespace);
  close(fd);
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail("read the address");
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof to)) fail("connect");
  return s;
}

/* The id's lower byte is the slot, the upper one changes, so that a late answer is not taken for the next one's. */
static void ask(int index, uint64_t since) {
  static const unsigned char head[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  static const unsigned char tail[] = "\5skein\5local\0\0\1\0\1";
  unsigned char message[64];
  struct slot *slot = &slots[index];
  slot->id = (uint16_t)(turn++ << 8 | index);
  slot->since = since;
  slot->busy = 1;
  memcpy(message, head, sizeof head);
  message[0] = slot->id >> 8;
  message[1] = slot->id & 255;
  int length = sprintf((char *)message + 13, "name%u", (unsigned)rand_r(&seed) % names);
  message[12] = length;
  memcpy(message + 13 + length, tail, sizeof tail - 1);
  if (send(sockets[next_socket], message, 13 + length + sizeof tail - 1, 0) < 0) fail("send");
  next_socket = (next_socket + 1) % socket_count;
}

/* Whether a slot is free now. */
static int take(const unsigned char *message, ssize_t length) {
  if (length < 12) return -1;
  uint16_t id = message[0] << 8 | message[1];
  int index = id & 255;
  if (index >= slot_count || !slots[index].busy || slots[index].id != id) return -1;
  if ((message[3] & 15) != 0 || message[7] != 1) wrong++;
  if (answered < MOST_SAMPLES) samples[answered] = (now() - slots[index].since) / 10;
  answered++;
  slots[index].busy = 0;
  return index;
}

int main(int argc, char **argv) {
  if (argc < 8) return fprintf(stderr, "dns-load CPU SECONDS IN_FLIGHT RATE NAMES ADDRESS NAMESPACE...\n"), 2;
  stay_on(atoi(argv[1]));
  double seconds = atof(argv[2]), rate = atof(argv[4]);
  slot_count = atoi(argv[3]);
  names = atoi(argv[5]);
  socket_count = argc - 7;
  if (slot_count < 1 || slot_count > MOST_IN_FLIGHT || socket_count > MOST_SOCKETS || names < 1) {
    errno = EINVAL;
    fail("read the arguments");
  }
  int poll = epoll_create1(0);
  for (int i = 0; i < socket_count; i++) {
    sockets[i] = open_in(argv[7 + i], argv[6]);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sockets[i]};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i], &event)) fail("watch a socket");
  }
  uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9), looked = start, sent = 0, last = start, stood = 0;
  if (rate == 0) for (int i = 0; i < slot_count; i++) ask(i, now());
  for (uint64_t t = start; t < end; t = now()) {
    if (t - last > noticed) stood += t - last;
    last = t;
    struct epoll_event events[BATCH];
    int count = epoll_wait(poll, events, BATCH, 0);
    for (int i = 0; i < count; i++) {
      unsigned char message[2048];
      for (ssize_t n; (n = recv(events[i].data.fd, message, sizeof message, 0)) > 0;) {
        int index = take(message, n);
        if (index >= 0 && rate == 0) ask(index, now());
      }
    }
    for (int i = 0; rate > 0 && i < slot_count; i++) {
      uint64_t due = start + (uint64_t)(sent / rate * 1e9);
      if (due > t) break;
      if (slots[i].busy) continue;
      ask(i, due);
      sent++;
    }
    if (t - looked < patience / 10) continue;
    looked = t;
    for (int i = 0; i < slot_count; i++) {
      if (!slots[i].busy || slots[i].since + patience > t) continue;
      slots[i].busy = 0;
      lost++;
      if (rate == 0) ask(i, t);
    }
  }
  uint64_t count = answered < MOST_SAMPLES ? answered : MOST_SAMPLES;
  if (count == 0) fail("nothing was answered");
  qsort(samples, count, sizeof *samples, ascending);
  printf("{\"qps\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"most_us\":%.2f,\"stood\":%.4f,\"lost\":%llu,\"wrong\":%llu}\n",
         answered / seconds, samples[count / 2] / 100.0, samples[count * 99 / 100] / 100.0,
         samples[count * 999 / 1000] / 100.0, samples[count - 1] / 100.0, stood / 1e9 / seconds,
         (unsigned long long)lost, (unsigned long long)wrong);
  return 0;
}
