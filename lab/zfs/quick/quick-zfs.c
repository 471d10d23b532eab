// What the daemons of the ZFS machine call in place of zfs: hands the command line and the open files over to the process of
// zfs-keeper.c, and ends as the command ends. Static, so that it starts at once. Without a keeper it becomes lab-zfs-logged.
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "/run/lab-zfs-keeper.sock"
#define LONGEST 65536

static char text[LONGEST];

static int itself(char **argv) {
  argv[0] = "/usr/local/sbin/lab-zfs-logged";
  execv(argv[0], argv);
  return 127;
}

// The daemon's folder, then the words of the command, each with its zero.
static size_t request(char **argv) {
  const char *daemon = getenv("INCUS_DIR");
  size_t length = 0;
  for (const char *word = daemon == NULL ? "" : daemon; word != NULL; word = *++argv) {
    size_t size = strlen(word) + 1;
    if (length + size > LONGEST) return 0;
    memcpy(text + length, word, size);
    length += size;
  }
  return length;
}

int main(int argc, char **argv) {
  (void)argc;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
  int files[3] = {0, 1, 2};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof files)];
  } control = {0};
  size_t length = request(argv);
  int keeper = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (length == 0 || keeper < 0 || connect(keeper, (struct sockaddr *)&address, sizeof address) < 0) return itself(argv);

  struct iovec part = {text, length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof files);
  memcpy(CMSG_DATA(header), files, sizeof files);
  if (sendmsg(keeper, &message, MSG_NOSIGNAL) < 0) return itself(argv);

  // Who waits for the end of a pipe must not wait for us.
  close(0);
  close(1);
  close(2);
  unsigned char status = 125;
  if (recv(keeper, &status, 1, 0) != 1) return 125;
  return status;
}
