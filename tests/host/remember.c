/* remember efi|tpm [VALUE]: runs in the guest. Prints what an UEFI variable, or an index in the
 * non-volatile memory of a TPM 2.0, of our own holds; with VALUE, makes it hold that. Both outlast
 * the VM's power switch: they tell which state a VM came back to. At most 32 bytes.
 *
 * Speaks to efivarfs and to /dev/tpm0 directly, so that the guest needs no tools. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROOM 32

static void die(const char *what)
{
    fprintf(stderr, "remember: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- an UEFI variable ---- */

#define VARIABLE "/sys/firmware/efi/efivars/Remember-3c0f2b52-6d0e-4d0b-8f4f-0a7b8f2f9d11"

/* Kept over a boot, seen by boot services and by a running system. */
static const uint32_t attributes = 7;

/* The kernel makes variables that it does not know immutable. */
static void make_mutable(int fd)
{
    int flags;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        die("the variable's flags cannot be read");
    flags &= ~FS_IMMUTABLE_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
        die("the variable's flags cannot be set");
}

static void efi_write(const char *value)
{
    unsigned char data[sizeof attributes + ROOM];
    int fd = open(VARIABLE, O_RDONLY);

    if (fd >= 0) {
        make_mutable(fd);
        close(fd);
    }
    memcpy(data, &attributes, sizeof attributes);
    memcpy(data + sizeof attributes, value, ROOM);
    fd = open(VARIABLE, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, data, sizeof data) != sizeof data || close(fd) < 0)
        die("the variable cannot be written");
}

static void efi_read(char *value)
{
    unsigned char data[sizeof attributes + ROOM];
    int fd = open(VARIABLE, O_RDONLY);

    if (fd < 0 || read(fd, data, sizeof data) != sizeof data)
        die("the variable cannot be read");
    close(fd);
    memcpy(value, data + sizeof attributes, ROOM);
}

/* ---- an index in a TPM ---- */

enum {
    TPM_SESSIONS = 0x8002,
    TPM_NV_DEFINE = 0x12a,
    TPM_NV_WRITE = 0x137,
    TPM_NV_READ = 0x14e,
    TPM_NV_DEFINED = 0x14c,
    TPM_OWNER = 0x40000001,
    TPM_PASSWORD = 0x40000009,
    TPM_SHA256 = 0xb,
    TPM_INDEX = 0x01500f5a,
    /* the owner reads and writes it; wrong passwords do not lock it */
    TPM_INDEX_ATTRIBUTES = 0x02020002,
    TPM_HEADER = 10,
};

typedef struct {
    unsigned char byte[256];
    size_t length;
} Message;

static void put16(Message *message, uint16_t value)
{
    value = htobe16(value);
    memcpy(message->byte + message->length, &value, sizeof value);
    message->length += sizeof value;
}

static void put32(Message *message, uint32_t value)
{
    value = htobe32(value);
    memcpy(message->byte + message->length, &value, sizeof value);
    message->length += sizeof value;
}

static uint32_t get32(const Message *message, size_t at)
{
    uint32_t value;

    memcpy(&value, message->byte + at, sizeof value);
    return be32toh(value);
}

/* @index: 0 where the command has the owner's handle alone. */
static Message command(uint32_t code, uint32_t index)
{
    Message message = {.length = 0};

    put16(&message, TPM_SESSIONS);
    put32(&message, 0); /* the length, which exchange() knows */
    put32(&message, code);
    put32(&message, TPM_OWNER);
    if (index)
        put32(&message, index);
    put32(&message, 9); /* bytes of authorization: an empty password */
    put32(&message, TPM_PASSWORD);
    put16(&message, 0);
    message.byte[message.length++] = 0;
    put16(&message, 0);
    return message;
}

/* The response takes the place of the command; its code is returned. */
static uint32_t exchange(Message *message)
{
    int fd = open("/dev/tpm0", O_RDWR);
    uint32_t length = htobe32(message->length);
    ssize_t got;

    memcpy(message->byte + 2, &length, sizeof length);
    if (fd < 0 || write(fd, message->byte, message->length) != (ssize_t)message->length)
        die("/dev/tpm0 takes no command");
    got = read(fd, message->byte, sizeof message->byte);
    if (got < TPM_HEADER)
        die("/dev/tpm0 does not answer");
    close(fd);
    message->length = got;
    return get32(message, 6);
}

static void must(uint32_t code, const char *what)
{
    if (code == 0)
        return;
    fprintf(stderr, "remember: %s: the TPM answers 0x%x\n", what, code);
    exit(1);
}

static void tpm_define(void)
{
    Message message = command(TPM_NV_DEFINE, 0);
    uint32_t code;

    put16(&message, 0);  /* no password of its own */
    put16(&message, 14); /* bytes of the description that follows */
    put32(&message, TPM_INDEX);
    put16(&message, TPM_SHA256);
    put32(&message, TPM_INDEX_ATTRIBUTES);
    put16(&message, 0); /* no policy */
    put16(&message, ROOM);
    code = exchange(&message);
    must(code == TPM_NV_DEFINED ? 0 : code, "the index cannot be made");
}

static void tpm_write(const char *value)
{
    Message message = command(TPM_NV_WRITE, TPM_INDEX);

    tpm_define();
    put16(&message, ROOM);
    memcpy(message.byte + message.length, value, ROOM);
    message.length += ROOM;
    put16(&message, 0); /* from its beginning */
    must(exchange(&message), "the index cannot be written");
}

static void tpm_read(char *value)
{
    const size_t data = TPM_HEADER + 4 + 2; /* the length of all parameters, and of this one */
    Message message = command(TPM_NV_READ, TPM_INDEX);

    put16(&message, ROOM);
    put16(&message, 0);
    must(exchange(&message), "the index cannot be read");
    if (message.length < data + ROOM) {
        errno = EPROTO;
        die("the index has another size");
    }
    memcpy(value, message.byte + data, ROOM);
}

int main(int argc, char **argv)
{
    char value[ROOM + 1] = "";
    bool tpm = argc > 1 && strcmp(argv[1], "tpm") == 0;

    if (argc < 2 || argc > 3 || (!tpm && strcmp(argv[1], "efi") != 0)) {
        fprintf(stderr, "usage: remember efi|tpm [VALUE]\n");
        return 2;
    }
    if (argc == 2) {
        (tpm ? tpm_read : efi_read)(value);
        puts(value);
        return 0;
    }
    strncpy(value, argv[2], ROOM);
    (tpm ? tpm_write : efi_write)(value);
    return 0;
}
