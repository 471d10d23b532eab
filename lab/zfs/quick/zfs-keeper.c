// Loaded into zfs with LD_PRELOAD: keeps the program in memory, linked and ready, and lets a fork of it run each command that
// quick-zfs.c hands over. To start zfs anew costs most of its time in an emulated machine. What changes a pool or sends is
// written down: one line a command, the words apart by tabs: seconds since boot, daemon, then the command.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET "/run/lab-zfs-keeper.sock"
#define LOG "/var/log/lab-zfs.log"
#define LONGEST 65536
#define MOST 256

typedef int (*Main)(int, char **, char **);
typedef int (*Start)(Main, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

static Main zfs;
static struct {
  int client;
  pid_t child;
} work[MOST];
static int works;

static const char *const WRITTEN[] = {"send",   "receive", "recv",   "rollback", "destroy",
                                      "snapshot", "rename",  "clone", "create",   "promote"};

static void write_down(const char *daemon, int count, char **words) {
  char line[LONGEST], uptime[32] = "";
  int is_written = 0;
  for (size_t i = 0; i < sizeof WRITTEN / sizeof *WRITTEN; i++) is_written |= count > 0 && !strcmp(words[0], WRITTEN[i]);
  const char *name = strstr(daemon, "/incus-");
  if (!is_written || name == NULL) return;
  FILE *clock = fopen("/proc/uptime", "r");
  if (clock != NULL) {
    if (fscanf(clock, "%31s", uptime) != 1) uptime[0] = 0;
    fclose(clock);
  }
  size_t length = (size_t)snprintf(line, sizeof line, "%s\t%s", uptime, name + strlen("/incus-"));
  for (int i = 0; i < count && length < sizeof line; i++)
    length += (size_t)snprintf(line + length, sizeof line - length, "\t%s", words[i]);
  if (length + 1 >= sizeof line) return;
  line[length++] = '\n';
  int log = open(LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (log < 0) return;
  if (write(log, line, length) < 0) perror(LOG);
  close(log);
}

// In the fork: the command, with the files of who asked for it.
static void run(char *text, size_t length, const int *files) {
  char *words[1024];
  int count = 0;
  words[count++] = "zfs";
  for (size_t at = strlen(text) + 1; at < length && count < 1023; at += strlen(text + at) + 1) words[count++] = text + at;
  words[count] = NULL;
  for (int i = 0; i < 3; i++) dup2(files[i], i);
  closefrom(3);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  write_down(text, count - 1, words + 1);
  exit(zfs(count, words, environ));
}

static void begin(int client) {
  static char text[LONGEST + 1];
  int files[3] = {-1, -1, -1};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof files)];
  } control;
  struct iovec part = {text, LONGEST};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(client, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header != NULL && header->cmsg_type == SCM_RIGHTS) memcpy(files, CMSG_DATA(header), sizeof files);
  pid_t child = -1;
  if (files[2] >= 0 && works < MOST) {
    text[length] = 0;
    child = fork();
    if (child == 0) run(text, (size_t)length, files);
  }
  for (int i = 0; i < 3; i++)
    if (files[i] >= 0) close(files[i]);
  if (child < 0) {
    close(client);
    return;
  }
  work[works].client = client;
  work[works++].child = child;
}

static void end(int ended) {
  struct signalfd_siginfo about;
  if (read(ended, &about, sizeof about) < 0) return;
  int status;
  pid_t child;
  while ((child = waitpid(-1, &status, WNOHANG)) > 0)
    for (int i = 0; i < works; i++)
      if (work[i].child == child) {
        unsigned char code = WIFEXITED(status) ? (unsigned char)WEXITSTATUS(status) : (unsigned char)(128 + WTERMSIG(status));
        send(work[i].client, &code, 1, MSG_NOSIGNAL);
        close(work[i].client);
        work[i] = work[--works];
        break;
      }
}

static int keep(int argc, char **argv, char **environment) {
  (void)argc, (void)argv, (void)environment;
  // A fork of a fork is zfs as it is.
  unsetenv("LD_PRELOAD");
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  unlink(SOCKET);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0) {
    perror(SOCKET);
    return 1;
  }
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  int ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  for (;;) {
    struct pollfd watched[MOST + 2] = {{listener, POLLIN, 0}, {ended, POLLIN, 0}};
    for (int i = 0; i < works; i++) watched[i + 2] = (struct pollfd){work[i].client, 0, 0};
    int watching = works;
    if (poll(watched, (nfds_t)watching + 2, -1) < 0) continue;
    // Who asked for it is gone, killed perhaps: so is what it asked for.
    for (int i = 0; i < watching; i++)
      if (watched[i + 2].revents & (POLLHUP | POLLERR)) kill(work[i].child, SIGKILL);
    if (watched[1].revents) end(ended);
    if (watched[0].revents) {
      int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
      if (client >= 0) begin(client);
    }
  }
}

int __libc_start_main(Main main, int argc, char **argv, void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                      void *stack_end) {
  Start start = (Start)dlsym(RTLD_NEXT, "__libc_start_main");
  zfs = main;
  return start(keep, argc, argv, init, fini, rtld_fini, stack_end);
}
