/*
 * What the data path is measured with: server and client of five loads, both bound to one CPU, so that a round trip takes
 * as long as all that the kernel does for it on both sides.
 *
 *   load serve CPU                     serves all five, and writes "ready" when it does
 *   load LOAD CPU ADDRESS SECONDS      writes one line of JSON
 *
 *   tcp_rr   one byte there, one byte back, on one connection
 *   udp_rr   the same in datagrams
 *   tcp_crr  connect, one byte there and back, reset
 *   udp64    datagrams of 64 bytes one way, counted where they arrive; each ACK_EVERY-th is acknowledged, and at most WINDOW
 *            are under way, so that none is lost and the sender cannot starve the receiver
 *   tcp      one stream, counted where it arrives
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

enum { ECHO_PORT = 7101, COUNT_PORT = 7102, SINK_PORT = 7103 };
enum { MOST_SAMPLES = 1 << 21, BATCH = 32, ACK_EVERY = 64, WINDOW = 256, DATAGRAM = 64, BLOCK = 128 * 1024, SKIPPED = 8 << 20 };

struct received {
  uint64_t amount, nanoseconds;
};

static void set_option(int s, int level, int option, const void *value, socklen_t size) {
  if (setsockopt(s, level, option, value, size)) fail("set a socket option");
}

static void send_at_once(int s) {
  const int on = 1;
  set_option(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int bound(int type, int port) {
  const int on = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  int s = socket(AF_INET, type, 0);
  if (s < 0) fail("open a socket");
  set_option(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&a, sizeof a)) fail("bind");
  if (type == SOCK_STREAM && listen(s, 64)) fail("listen");
  return s;
}

/* An answer that does not come in a second is a failure, not a wait. */
static int connected(int type, const char *address, int port) {
  const struct timeval patience = {1, 0};
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &a.sin_addr) != 1) fail("read the address");
  int s = socket(AF_INET, type, 0);
  if (s < 0) fail("open a socket");
  if (type == SOCK_STREAM) send_at_once(s);
  set_option(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  set_option(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(s, (struct sockaddr *)&a, sizeof a)) fail("connect");
  return s;
}

/* ---- the server: one thread a port ---- */

static _Noreturn void *echo_streams(void *listening) {
  for (;;) {
    char byte;
    int s = accept(*(int *)listening, 0, 0);
    if (s < 0) fail("accept");
    send_at_once(s);
    while (read(s, &byte, 1) == 1 && write(s, &byte, 1) == 1) {
    }
    close(s);
  }
}

static _Noreturn void *echo_datagrams(void *socket) {
  for (;;) {
    char byte;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    if (recvfrom(*(int *)socket, &byte, 1, 0, (struct sockaddr *)&peer, &size) == 1)
      sendto(*(int *)socket, &byte, 1, 0, (struct sockaddr *)&peer, size);
  }
}

static _Noreturn void *count_datagrams(void *socket) {
  static char bytes[BATCH][DATAGRAM];
  static struct sockaddr_in peer[BATCH];
  static struct iovec part[BATCH];
  static struct mmsghdr batch[BATCH];
  struct received all = {0};
  for (int i = 0; i < BATCH; i++) {
    part[i] = (struct iovec){bytes[i], DATAGRAM};
    batch[i].msg_hdr = (struct msghdr){.msg_name = &peer[i], .msg_iov = &part[i], .msg_iovlen = 1};
  }
  for (;;) {
    for (int i = 0; i < BATCH; i++) batch[i].msg_hdr.msg_namelen = sizeof peer[i];
    int n = recvmmsg(*(int *)socket, batch, BATCH, MSG_WAITFORONE, 0);
    for (int i = 0; i < n; i++) {
      if (++all.amount % ACK_EVERY != 0) continue;
      all.nanoseconds = now();
      sendto(*(int *)socket, &all, sizeof all, 0, (struct sockaddr *)&peer[i], sizeof peer[i]);
    }
  }
}

static _Noreturn void *swallow_streams(void *listening) {
  static char block[BLOCK];
  for (;;) {
    struct received all = {0};
    uint64_t total = 0, start = 0;
    ssize_t n;
    int s = accept(*(int *)listening, 0, 0);
    if (s < 0) fail("accept");
    while ((n = read(s, block, sizeof block)) > 0) {
      total += n;
      if (start != 0) all.amount += n;
      else if (total >= SKIPPED) start = now();
    }
    all.nanoseconds = now() - start;
    if (write(s, &all, sizeof all) != sizeof all) perror("load: answer");
    close(s);
  }
}

static _Noreturn void serve(void) {
  static int echo, datagrams, counted, sink;
  pthread_t thread;
  echo = bound(SOCK_STREAM, ECHO_PORT);
  datagrams = bound(SOCK_DGRAM, ECHO_PORT);
  counted = bound(SOCK_DGRAM, COUNT_PORT);
  sink = bound(SOCK_STREAM, SINK_PORT);
  if (pthread_create(&thread, 0, echo_streams, &echo) || pthread_create(&thread, 0, echo_datagrams, &datagrams) ||
      pthread_create(&thread, 0, count_datagrams, &counted))
    fail("start a thread");
  puts("ready");
  fflush(stdout);
  swallow_streams(&sink);
}

/* ---- the clients ---- */

static uint32_t sample[MOST_SAMPLES];

static void round_trip(int s, int may_lose) {
  char byte = 1;
  if (write(s, &byte, 1) != 1 || read(s, &byte, 1) != 1) {
    if (!may_lose || (errno != EAGAIN && errno != EINTR)) fail("round trip");
  }
}

static void connection(const char *address) {
  const struct linger reset = {1, 0};
  int s = connected(SOCK_STREAM, address, ECHO_PORT);
  round_trip(s, 0);
  set_option(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(s);
}

/* Round trips on one socket, or with `fresh` a connection for each. */
static int time_round_trips(const char *address, double seconds, int type, int fresh) {
  const int warm_up = fresh ? 300 : 3000;
  int s = fresh ? -1 : connected(type, address, ECHO_PORT);
  long n = 0;
  memset(sample, 1, sizeof sample);
  for (int i = 0; i < warm_up; i++) fresh ? connection(address) : round_trip(s, type == SOCK_DGRAM);
  const uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t last = start;
  while (last < end && n < MOST_SAMPLES) {
    fresh ? connection(address) : round_trip(s, type == SOCK_DGRAM);
    const uint64_t t = now();
    sample[n++] = t - last;
    last = t;
  }
  qsort(sample, n, sizeof *sample, ascending);
  printf("{\"p50_us\":%.3f,\"p99_us\":%.3f,\"per_second\":%.0f}\n", sample[n / 2] / 1e3, sample[n * 99 / 100] / 1e3, n / ((last - start) / 1e9));
  return 0;
}

static int send_datagrams(const char *address, double seconds) {
  static char bytes[DATAGRAM];
  static struct mmsghdr batch[BATCH];
  struct iovec part = {bytes, sizeof bytes};
  struct received first = {0}, latest = {0};
  long under_way = 0, lost = 0;
  int s = connected(SOCK_DGRAM, address, COUNT_PORT);
  for (int i = 0; i < BATCH; i++) batch[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  const uint64_t warm = now() + 50000000u, end = warm + (uint64_t)(seconds * 1e9);
  while (now() < end) {
    while (under_way + BATCH <= WINDOW) {
      int n = sendmmsg(s, batch, BATCH, 0);
      if (n < 0) fail("send");
      under_way += n;
    }
    struct received ack;
    if (recv(s, &ack, sizeof ack, 0) == sizeof ack) {
      latest = ack;
      if (first.amount == 0 && now() >= warm) first = ack;
      under_way -= ACK_EVERY;
    } else if (errno == EAGAIN) {
      lost += under_way;
      under_way = 0;
    } else fail("wait for an acknowledgement");
  }
  if (first.amount == 0 || latest.amount == first.amount) fail("be acknowledged");
  printf("{\"per_second\":%.0f,\"lost\":%ld}\n", (latest.amount - first.amount) / ((latest.nanoseconds - first.nanoseconds) / 1e9), lost);
  return 0;
}

static int send_stream(const char *address, double seconds) {
  static char block[BLOCK];
  struct received all;
  int s = connected(SOCK_STREAM, address, SINK_PORT);
  const uint64_t end = now() + (uint64_t)(seconds * 1e9);
  while (now() < end)
    if (write(s, block, sizeof block) < 0) fail("send");
  shutdown(s, SHUT_WR);
  if (recv(s, &all, sizeof all, MSG_WAITALL) != sizeof all || all.amount == 0) fail("be told what arrived");
  printf("{\"gbps\":%.3f}\n", all.amount * 8.0 / all.nanoseconds);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) {
    stay_on(atoi(argv[2]));
    serve();
  }
  if (argc == 5) {
    const char *load = argv[1], *address = argv[3];
    const double seconds = atof(argv[4]);
    stay_on(atoi(argv[2]));
    if (!strcmp(load, "tcp_rr")) return time_round_trips(address, seconds, SOCK_STREAM, 0);
    if (!strcmp(load, "udp_rr")) return time_round_trips(address, seconds, SOCK_DGRAM, 0);
    if (!strcmp(load, "tcp_crr")) return time_round_trips(address, seconds, SOCK_STREAM, 1);
    if (!strcmp(load, "udp64")) return send_datagrams(address, seconds);
    if (!strcmp(load, "tcp")) return send_stream(address, seconds);
  }
  fprintf(stderr, "usage: load serve CPU | load tcp_rr|udp_rr|tcp_crr|udp64|tcp CPU ADDRESS SECONDS\n");
  return 2;
}
