/* See modtwin.h. From the top: errors and texts, JSON, HTTP, requests, streams. */
#define _GNU_SOURCE
#include "modtwin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_TIMEOUT_MS = 30 * 1000,
    DEFAULT_SILENCE_MS = 90 * 1000, /* three heartbeats are missing */
    GRACE_MS = 10 * 1000,           /* beyond the time that a request itself allows for */
    MAX_HEAD = 16 * 1024,
    MAX_LINE = 1024 * 1024,
    MAX_ANSWER = 4 * 1024 * 1024,
    MAX_DEPTH = 128,
    FIRST_WAIT_MS = 100,
    LONGEST_WAIT_MS = 5000,
};

/* ---- errors and texts ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 3, 4))) static int fail(struct modtwin_error *error,
                                                      enum modtwin_failure failure,
                                                      const char *format, ...)
{
    va_list arguments;
    *error = (struct modtwin_error){.failure = failure, .retry_after_ms = -1};
    error->is_temporary = failure == MODTWIN_UNREACHABLE;
    va_start(arguments, format);
    vsnprintf(error->detail, sizeof error->detail, format, arguments);
    va_end(arguments);
    return -1;
}

static int no_memory(struct modtwin_error *error)
{
    return fail(error, MODTWIN_ARGUMENT, "no memory");
}

/* A text that grows; once there was no memory it stays `has_failed`. */
struct text {
    char *data;
    size_t length, capacity;
    bool has_failed;
};

static void add_bytes(struct text *text, const void *bytes, size_t length)
{
    if (text->has_failed)
        return;
    if (text->capacity - text->length <= length) {
        size_t capacity = (text->length + length + 1) * 2;
        char *data = realloc(text->data, capacity);
        if (data == NULL) {
            text->has_failed = true;
            return;
        }
        text->data = data;
        text->capacity = capacity;
    }
    if (length > 0)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

static void add(struct text *text, const char *more)
{
    add_bytes(text, more, strlen(more));
}

static void add_number(struct text *text, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    add(text, digits);
}

static void add_encoded(struct text *text, const char *value)
{
    static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (; *value != '\0'; value++) {
        char escaped[4];
        if (strchr(unreserved, *value) != NULL)
            add_bytes(text, value, 1);
        else if (snprintf(escaped, sizeof escaped, "%%%02X", (unsigned char)*value) == 3)
            add(text, escaped);
    }
}

/* A header; a control character in its value would end it early. */
static void add_header(struct text *text, const char *name, const char *value)
{
    if (value == NULL)
        return;
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at < 32 || *at == 127)
            text->has_failed = true;
    add(text, name);
    add(text, ": ");
    add(text, value);
    add(text, "\r\n");
}

static void add_json_string(struct text *text, const char *value)
{
    add(text, "\"");
    for (; *value != '\0'; value++) {
        char escaped[8];
        if (*value == '"' || *value == '\\' || (unsigned char)*value < 32) {
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned char)*value);
            add(text, escaped);
        } else {
            add_bytes(text, value, 1);
        }
    }
    add(text, "\"");
}

static void add_target(struct text *text, const char *module, const char *rest)
{
    add(text, "/v1/modules/");
    add_encoded(text, module);
    add(text, rest);
}

static void add_query(struct text *text, bool *is_first, const char *name, const char *value)
{
    add(text, *is_first ? "?" : "&");
    *is_first = false;
    add(text, name);
    add(text, "=");
    add_encoded(text, value);
}

/* ---- JSON (RFC 8259): checked, not built ---- */

static const char *json_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* All json_… readers return where the thing ends, or NULL where it is none. */
static const char *json_string(const char *at, const char *end)
{
    if (at >= end || *at != '"')
        return NULL;
    for (at++; at < end && *at != '"'; at++) {
        if ((unsigned char)*at < 32)
            return NULL;
        if (*at != '\\')
            continue;
        if (++at >= end || *at == '\0' || strchr("\"\\/bfnrtu", *at) == NULL)
            return NULL;
        for (int digits = *at == 'u' ? 4 : 0; digits > 0; digits--)
            if (++at >= end || *at == '\0' || strchr("0123456789abcdefABCDEF", *at) == NULL)
                return NULL;
    }
    return at < end ? at + 1 : NULL;
}

static const char *json_digits(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > start ? at : NULL;
}

static const char *json_number(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    if (at < end && *at == '0')
        at++;
    else if ((at = json_digits(at, end)) == NULL)
        return NULL;
    if (at < end && *at == '.' && (at = json_digits(at + 1, end)) == NULL)
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = json_digits(at, end);
    }
    return at;
}

static const char *json_value(const char *at, const char *end, int depth);

static const char *json_list(const char *at, const char *end, int depth)
{
    char close = *at == '{' ? '}' : ']';
    at = json_space(at + 1, end);
    if (at < end && *at == close)
        return at + 1;
    for (;;) {
        if (close == '}') {
            if ((at = json_string(json_space(at, end), end)) == NULL)
                return NULL;
            at = json_space(at, end);
            if (at >= end || *at++ != ':')
                return NULL;
        }
        if ((at = json_value(at, end, depth + 1)) == NULL)
            return NULL;
        at = json_space(at, end);
        if (at >= end || (*at != ',' && *at != close))
            return NULL;
        if (*at++ == close)
            return at;
    }
}

static const char *json_value(const char *at, const char *end, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    at = json_space(at, end);
    if (at >= end || depth > MAX_DEPTH)
        return NULL;
    if (*at == '{' || *at == '[')
        return json_list(at, end, depth);
    if (*at == '"')
        return json_string(at, end);
    for (size_t word = 0; word < sizeof words / sizeof *words; word++) {
        size_t length = strlen(words[word]);
        if ((size_t)(end - at) >= length && memcmp(at, words[word], length) == 0)
            return at + length;
    }
    return json_number(at, end);
}

static bool json_is_object(struct modtwin_slice text)
{
    const char *end = text.data + text.length;
    const char *at = json_space(text.data, end);
    if (at >= end || *at != '{' || (at = json_value(at, end, 0)) == NULL)
        return false;
    return json_space(at, end) == end;
}

/* A member of an object that was checked; empty where it has none, or null. */
static struct modtwin_slice json_member(struct modtwin_slice object, const char *name)
{
    struct modtwin_slice none = {NULL, 0};
    const char *end = object.data + object.length;
    size_t length = strlen(name);
    if (object.length == 0)
        return none;
    const char *at = json_space(json_space(object.data, end) + 1, end);
    while (at < end && *at == '"') {
        const char *key = at + 1;
        const char *key_end = json_string(at, end);
        const char *value = json_space(json_space(key_end, end) + 1, end);
        at = json_value(value, end, 0);
        if ((size_t)(key_end - 1 - key) == length && memcmp(key, name, length) == 0) {
            struct modtwin_slice found = {value, (size_t)(at - value)};
            return found.length == 4 && memcmp(value, "null", 4) == 0 ? none : found;
        }
        at = json_space(json_space(at, end) + 1, end);
    }
    return none;
}

static struct modtwin_slice json_object(struct modtwin_slice object, const char *name)
{
    struct modtwin_slice found = json_member(object, name);
    struct modtwin_slice none = {NULL, 0};
    return found.length > 0 && *found.data == '{' ? found : none;
}

static bool json_is_true(struct modtwin_slice object, const char *name)
{
    struct modtwin_slice found = json_member(object, name);
    return found.length == 4 && *found.data == 't';
}

static uint64_t json_count(struct modtwin_slice object, const char *name)
{
    struct modtwin_slice found = json_member(object, name);
    uint64_t count = 0;
    for (size_t i = 0; i < found.length; i++) {
        uint64_t digit = (uint64_t)(found.data[i] - '0');
        if (found.data[i] < '0' || found.data[i] > '9' || count > (UINT64_MAX - digit) / 10)
            return 0;
        count = count * 10 + digit;
    }
    return count;
}

static unsigned hex4(const char *at)
{
    char digits[5] = {at[0], at[1], at[2], at[3], '\0'};
    return (unsigned)strtoul(digits, NULL, 16);
}

static size_t utf8(unsigned code, char *out)
{
    if (code < 0x80)
        return out[0] = (char)code, 1;
    if (code < 0x800)
        return out[0] = (char)(0xC0 | code >> 6), out[1] = (char)(0x80 | (code & 0x3F)), 2;
    size_t length = 0;
    if (code < 0x10000) {
        out[length++] = (char)(0xE0 | code >> 12);
    } else {
        out[length++] = (char)(0xF0 | code >> 18);
        out[length++] = (char)(0x80 | (code >> 12 & 0x3F));
    }
    out[length++] = (char)(0x80 | (code >> 6 & 0x3F));
    out[length++] = (char)(0x80 | (code & 0x3F));
    return length;
}

/* Copies a string member without its escapes; false where it did not fit whole or is none. */
static bool json_copy(struct modtwin_slice object, const char *name, char *out, size_t size)
{
    struct modtwin_slice found = json_member(object, name);
    size_t length = 0;
    out[0] = '\0';
    if (found.length == 0 || *found.data != '"')
        return false;
    const char *end = found.data + found.length - 1;
    for (const char *at = found.data + 1; at < end; at++) {
        char bytes[4] = {*at};
        size_t count = 1;
        if (*at == '\\' && *++at != 'u') {
            static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
            bytes[0] = meant[strchr(escapes, *at) - escapes];
        } else if (at[0] == 'u' && bytes[0] == '\\') {
            unsigned code = hex4(at + 1);
            at += 4;
            if (code >= 0xD800 && code < 0xDC00 && end - at > 6 && at[1] == '\\' && at[2] == 'u') {
                code = 0x10000 + ((code - 0xD800) << 10) + ((hex4(at + 3) - 0xDC00) & 0x3FF);
                at += 6;
            }
            count = utf8(code, bytes);
        }
        if (length + count >= size)
            return false;
        memcpy(out + length, bytes, count);
        length += count;
        out[length] = '\0';
    }
    return true;
}

/* ---- HTTP/1.1 ---- */

/* A connection and the answer that comes on it. */
struct reader {
    int fd;
    char input[MAX_HEAD]; /* what has come and is neither head nor body yet */
    size_t input_length;
    struct text body;
    size_t body_limit;
    int status; /* 0 before the head has come */
    int retry_after_ms;
    bool is_chunked, is_complete;
    int64_t left; /* of the body or of its chunk; -1: until the end */
};

static const char *socket_path(const struct modtwin *client)
{
    const char *from_environment = getenv("MODTWIN_SOCKET");
    if (client->path != NULL)
        return client->path;
    return from_environment != NULL && *from_environment != '\0' ? from_environment
                                                                 : "/run/modtwin/modtwin.sock";
}

static int timeout_of(const struct modtwin *client)
{
    return client->timeout_ms > 0 ? client->timeout_ms : DEFAULT_TIMEOUT_MS;
}

static int silence_of(const struct modtwin *client)
{
    return client->silence_ms > 0 ? client->silence_ms : DEFAULT_SILENCE_MS;
}

static void reader_close(struct reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->body.data);
    *reader = (struct reader){.fd = -1};
}

static int reader_open(struct reader *reader, const char *path, struct modtwin_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    *reader = (struct reader){.fd = -1, .retry_after_ms = -1, .left = -1, .body_limit = MAX_ANSWER};
    if (length >= sizeof address.sun_path)
        return fail(error, MODTWIN_ARGUMENT, "the socket's path is too long: %s", path);
    memcpy(address.sun_path, path, length + 1);
    reader->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A Unix socket connects at once or not at all. */
    if (reader->fd < 0 || connect(reader->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fail(error, MODTWIN_UNREACHABLE, "cannot talk to the daemon at %s: %s", path,
             strerror(errno));
        error->is_temporary = errno != EACCES && errno != EPERM;
        reader_close(reader);
        return -1;
    }
    return 0;
}

/* Waits until the descriptor is ready; 0 where the deadline came first. */
static int wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd one = {.fd = fd, .events = events};
        int ready = poll(&one, fd < 0 ? 0 : 1, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
        if (ready > 0 || (ready == 0 && left <= INT_MAX))
            return ready > 0;
    }
}

static int reader_send(struct reader *reader, const struct text *request, int64_t deadline,
                       struct modtwin_error *error)
{
    for (size_t sent = 0; sent < request->length;) {
        ssize_t count = send(reader->fd, request->data + sent, request->length - sent, MSG_NOSIGNAL);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno == EPIPE || errno == ECONNRESET)
            return 0; /* Refused before all of it was read: the answer says why. */
        else if (errno == EINTR)
            continue;
        else if (errno != EAGAIN)
            return fail(error, MODTWIN_UNREACHABLE, "cannot send: %s", strerror(errno));
        else if (!wait_for(reader->fd, POLLOUT, deadline))
            return fail(error, MODTWIN_UNREACHABLE, "the daemon did not take the request in time");
    }
    return 0;
}

static void consume(struct reader *reader, size_t count)
{
    reader->input_length -= count;
    memmove(reader->input, reader->input + count, reader->input_length);
}

static void read_header(struct reader *reader, char *line)
{
    char *value = strchr(line, ':');
    if (value == NULL)
        return;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "transfer-encoding") == 0 && strcasecmp(value, "chunked") == 0) {
        reader->is_chunked = true;
    } else if (strcasecmp(line, "content-length") == 0) {
        reader->left = strtoll(value, NULL, 10);
    } else if (strcasecmp(line, "retry-after") == 0 && *value >= '0' && *value <= '9') {
        long seconds = strtol(value, NULL, 10);
        reader->retry_after_ms = seconds > 3600 ? 3600 * 1000 : (int)seconds * 1000;
    }
}

static int read_head(struct reader *reader, struct modtwin_error *error)
{
    char *end = memmem(reader->input, reader->input_length, "\r\n\r\n", 4);
    if (end == NULL && reader->input_length < sizeof reader->input)
        return 0;
    if (end == NULL || memcmp(reader->input, "HTTP/1.", 7) != 0)
        return fail(error, MODTWIN_PROTOCOL, "expected HTTP/1.1, found otherwise");
    *end = '\0';
    size_t length = (size_t)(end - reader->input);
    for (size_t i = 0; i < length; i++)
        if (reader->input[i] == '\0')
            return fail(error, MODTWIN_PROTOCOL, "expected HTTP/1.1, found a zero byte");
    char *line = strstr(reader->input, "\r\n");
    reader->status = atoi(reader->input + strcspn(reader->input, " "));
    if (reader->status < 100 || reader->status > 599)
        return fail(error, MODTWIN_PROTOCOL, "expected HTTP/1.1, found no status");
    while (line != NULL) {
        char *next = strstr(line + 2, "\r\n");
        if (next != NULL)
            *next = '\0';
        read_header(reader, line + 2);
        line = next;
    }
    if (reader->is_chunked || reader->status == 204)
        reader->left = 0;
    reader->is_complete = !reader->is_chunked && reader->left == 0;
    consume(reader, length + 4);
    return 0;
}

/* Moves what has come of the body, or of a chunk, to the body. */
static void read_part(struct reader *reader)
{
    size_t count = reader->input_length;
    if (reader->left >= 0 && (uint64_t)count > (uint64_t)reader->left)
        count = (size_t)reader->left;
    add_bytes(&reader->body, reader->input, count);
    consume(reader, count);
    if (reader->left >= 0)
        reader->left -= (int64_t)count;
}

static int read_chunks(struct reader *reader, struct modtwin_error *error)
{
    while (!reader->is_complete && reader->input_length > 0) {
        if (reader->left > 0) {
            read_part(reader);
            continue;
        }
        char *end = memmem(reader->input, reader->input_length, "\r\n", 2);
        if (end == NULL && reader->input_length < 1024)
            return 0;
        char *digits_end = reader->input;
        unsigned long long size = 0;
        if (end != NULL && end != reader->input)
            size = strtoull(reader->input, &digits_end, 16);
        if (end == NULL || (end != reader->input && digits_end == reader->input) || size > INT_MAX)
            return fail(error, MODTWIN_PROTOCOL, "expected the size of a chunk, found otherwise");
        bool is_after_chunk = end == reader->input;
        consume(reader, (size_t)(end - reader->input) + 2);
        reader->left = (int64_t)size;
        reader->is_complete = !is_after_chunk && size == 0;
    }
    return 0;
}

/* Takes in what the socket has; there must be something. */
static int reader_receive(struct reader *reader, struct modtwin_error *error)
{
    size_t room = sizeof reader->input - reader->input_length;
    ssize_t count = recv(reader->fd, reader->input + reader->input_length, room, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (count < 0)
        return fail(error, MODTWIN_UNREACHABLE, "the connection broke: %s", strerror(errno));
    if (count == 0) {
        reader->is_complete = reader->status != 0 && reader->left < 0;
        if (!reader->is_complete)
            return fail(error, MODTWIN_UNREACHABLE, "the connection ended before the answer did");
        return 0;
    }
    reader->input_length += (size_t)count;
    if (reader->status == 0 && (read_head(reader, error) != 0 || reader->status == 0))
        return error->failure == MODTWIN_NONE ? 0 : -1;
    if (reader->is_chunked && read_chunks(reader, error) != 0)
        return -1;
    if (!reader->is_chunked && !reader->is_complete) {
        read_part(reader);
        reader->is_complete = reader->left == 0;
    }
    if (reader->body.has_failed)
        return no_memory(error);
    if (reader->body.length > reader->body_limit)
        return fail(error, MODTWIN_PROTOCOL, "expected at most %zu bytes, found more",
                    reader->body_limit);
    return 0;
}

/* The error that an answer with a status of 300 and above means. */
static int refusal(struct reader *reader, struct modtwin_error *error)
{
    struct modtwin_slice body = {reader->body.data, reader->body.length};
    char kind[sizeof error->kind], detail[sizeof error->detail];
    if (body.length == 0 || !json_is_object(body) || !json_copy(body, "kind", kind, sizeof kind))
        return fail(error, MODTWIN_PROTOCOL, "expected a problem with status %d, found otherwise",
                    reader->status);
    /* What of the detail does not fit is cut off. */
    if (!json_copy(body, "detail", detail, sizeof detail) && *detail == '\0')
        json_copy(body, "title", detail, sizeof detail);
    fail(error, MODTWIN_PROBLEM, "%s", detail);
    memcpy(error->kind, kind, sizeof kind);
    error->status = reader->status;
    error->retry_after_ms = reader->retry_after_ms;
    error->is_temporary = reader->status == 429 || reader->status >= 500;
    return -1;
}

/* ---- requests ---- */

/* One request: the method with the target, and what is in head and body. */
struct call {
    struct text line, headers;
    const void *body;
    size_t body_length;
};

static void put_together(const struct call *call, struct text *request)
{
    add_bytes(request, call->line.data, call->line.length);
    add(request, " HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    if (call->headers.length > 0)
        add_bytes(request, call->headers.data, call->headers.length);
    add(request, "content-length: ");
    add_number(request, call->body_length);
    add(request, "\r\n\r\n");
    add_bytes(request, call->body, call->body_length);
    request->has_failed |= call->line.has_failed || call->headers.has_failed;
}

/* Sends the call and reads the whole answer; frees what is in the call. */
static int ask(const struct modtwin *client, struct call *call, int timeout_ms,
               struct reader *reader, struct modtwin_error *error)
{
    int64_t deadline = now_ms() + timeout_ms;
    struct text request = {0};
    int outcome = -1;
    *reader = (struct reader){.fd = -1};
    *error = (struct modtwin_error){.retry_after_ms = -1};
    put_together(call, &request);
    if (request.has_failed)
        fail(error, MODTWIN_ARGUMENT, "no memory, or a control character in a header");
    else if (reader_open(reader, socket_path(client), error) == 0)
        outcome = reader_send(reader, &request, deadline, error);
    while (outcome == 0 && !reader->is_complete)
        if (wait_for(reader->fd, POLLIN, deadline))
            outcome = reader_receive(reader, error);
        else
            outcome = fail(error, MODTWIN_UNREACHABLE, "no answer within %d ms", timeout_ms);
    if (outcome == 0 && reader->status >= 300)
        outcome = refusal(reader, error);
    free(request.data);
    free(call->line.data);
    free(call->headers.data);
    if (outcome != 0)
        reader_close(reader);
    return outcome;
}

/* The same for an answer that is a JSON object or nothing. */
static int ask_json(const struct modtwin *client, struct call *call, int timeout_ms,
                    struct reader *reader, struct modtwin_error *error)
{
    if (ask(client, call, timeout_ms, reader, error) != 0)
        return -1;
    struct modtwin_slice body = {reader->body.data, reader->body.length};
    if (body.length > 0 && !json_is_object(body)) {
        reader_close(reader);
        return fail(error, MODTWIN_PROTOCOL, "expected a JSON object, found otherwise");
    }
    return 0;
}

static int read_text(const struct modtwin *client, struct call *call, char **json,
                     struct modtwin_error *error)
{
    struct modtwin_error unasked;
    struct reader reader;
    error = error != NULL ? error : &unasked;
    if (ask_json(client, call, timeout_of(client), &reader, error) != 0)
        return -1;
    *json = reader.body.data;
    reader.body.data = NULL;
    reader_close(&reader);
    return *json != NULL ? 0 : fail(error, MODTWIN_PROTOCOL, "expected JSON, found nothing");
}

int modtwin_get(const struct modtwin *client, const char *module, char **json,
                struct modtwin_error *error)
{
    struct call call = {0};
    add(&call.line, "GET ");
    add_target(&call.line, module, "");
    return read_text(client, &call, json, error);
}

int modtwin_modules(const struct modtwin *client, char **json, struct modtwin_error *error)
{
    struct call call = {0};
    add(&call.line, "GET /v1/modules");
    return read_text(client, &call, json, error);
}

int modtwin_report(const struct modtwin *client, const char *module, const char *patch,
                   int hub_timeout_ms, uint64_t *version, struct modtwin_error *error)
{
    struct modtwin_error unasked;
    struct call call = {.body = patch, .body_length = strlen(patch)};
    struct reader reader;
    int timeout = timeout_of(client);
    error = error != NULL ? error : &unasked;
    add(&call.line, "PATCH ");
    add_target(&call.line, module, "/reported");
    if (hub_timeout_ms > 0) {
        char query[64];
        snprintf(query, sizeof query, "?wait=hub&timeout=%d.%03d", hub_timeout_ms / 1000,
                 hub_timeout_ms % 1000);
        add(&call.line, query);
        timeout = hub_timeout_ms + GRACE_MS;
    }
    add_header(&call.headers, "content-type", "application/merge-patch+json");
    if (ask_json(client, &call, timeout, &reader, error) != 0)
        return -1;
    struct modtwin_slice body = {reader.body.data, reader.body.length};
    if (version != NULL)
        *version = json_count(body, "version");
    reader_close(&reader);
    return 0;
}

static int post_json(const struct modtwin *client, struct call *call, struct text *body,
                     struct modtwin_error *error)
{
    struct modtwin_error unasked;
    struct reader reader;
    error = error != NULL ? error : &unasked;
    call->body = body->data;
    call->body_length = body->length;
    call->line.has_failed |= body->has_failed;
    add_header(&call->headers, "content-type", "application/json");
    int outcome = ask(client, call, timeout_of(client), &reader, error);
    free(body->data);
    if (outcome == 0)
        reader_close(&reader);
    return outcome;
}

int modtwin_acknowledge(const struct modtwin *client, const char *module,
                        const struct modtwin_ack *ack, struct modtwin_error *error)
{
    struct call call = {0};
    struct text body = {0};
    add(&call.line, "POST ");
    add_target(&call.line, module, "/acks");
    add(&body, "{\"generation\":");
    add_number(&body, ack->generation);
    add(&body, ",\"version\":");
    add_number(&body, ack->version);
    add(&body, ",\"status\":");
    add_number(&body, ack->status > 0 ? (uint64_t)ack->status : 200);
    if (ack->description != NULL) {
        add(&body, ",\"description\":");
        add_json_string(&body, ack->description);
    }
    if (ack->handler != NULL) {
        add(&body, ",\"handler\":");
        add_json_string(&body, ack->handler);
    }
    add(&body, "}");
    return post_json(client, &call, &body, error);
}

int modtwin_answer(const struct modtwin *client, const char *module, const char *id, int status,
                   const char *payload, struct modtwin_error *error)
{
    struct call call = {0};
    struct text body = {0};
    add(&call.line, "POST ");
    add_target(&call.line, module, "/methods/");
    add_encoded(&call.line, id);
    add(&body, "{\"status\":");
    add_number(&body, (uint64_t)status);
    add(&body, ",\"payload\":");
    add(&body, payload);
    add(&body, "}");
    return post_json(client, &call, &body, error);
}

int modtwin_send(const struct modtwin *client, const char *module,
                 const struct modtwin_message *message, int *is_delivered,
                 struct modtwin_error *error)
{
    struct modtwin_error unasked;
    struct call call = {.body = message->payload, .body_length = message->length};
    struct reader reader;
    error = error != NULL ? error : &unasked;
    add(&call.line, "POST ");
    add_target(&call.line, module, message->is_stored_enough ? "/messages?wait=stored" : "/messages");
    add_header(&call.headers, "content-type", message->content_type);
    add_header(&call.headers, "content-encoding", message->content_encoding);
    add_header(&call.headers, "modtwin-message-id", message->message_id);
    add_header(&call.headers, "modtwin-correlation-id", message->correlation_id);
    for (const char *const *one = message->properties; one != NULL && *one != NULL; one++)
        add_header(&call.headers, "modtwin-property", *one);
    if (ask(client, &call, timeout_of(client) + GRACE_MS, &reader, error) != 0)
        return -1;
    if (is_delivered != NULL)
        *is_delivered = reader.status == 200;
    reader_close(&reader);
    return 0;
}

/* ---- streams ---- */

struct modtwin_stream {
    struct modtwin client;
    char *path;         /* the socket */
    struct text target; /* with all of the query but `since` */
    bool has_query, is_watch, is_over;
    bool has_begun; /* the daemon granted it once */
    uint64_t generation, version;
    struct reader reader;
    size_t line_end;  /* of the line given out last: what follows it comes next */
    size_t searched;  /* how far a line feed was looked for */
    int64_t due;      /* when to connect next */
    int64_t deadline; /* when the silence is too long */
    unsigned failures;
    struct modtwin_error final; /* why it can't go on */
};

static struct modtwin_stream *stream_new(const struct modtwin *client, const char *module,
                                         const char *rest)
{
    struct modtwin_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->client = *client;
    stream->path = strdup(socket_path(client));
    stream->reader.fd = -1;
    add_target(&stream->target, module, rest);
    return stream;
}

/* The stream, or NULL where memory has run out meanwhile. */
static struct modtwin_stream *stream_made(struct modtwin_stream *stream)
{
    if (stream->path != NULL && !stream->target.has_failed)
        return stream;
    modtwin_close(stream);
    return NULL;
}

static void add_all(struct modtwin_stream *stream, const char *name, const char *const *values)
{
    bool is_first = !stream->has_query;
    for (; values != NULL && *values != NULL; values++)
        add_query(&stream->target, &is_first, name, *values);
    stream->has_query = !is_first;
}

struct modtwin_stream *modtwin_watch(const struct modtwin *client, const char *module,
                                     const struct modtwin_watch *watch)
{
    struct modtwin_stream *stream = stream_new(client, module, "/watch");
    if (stream == NULL)
        return NULL;
    stream->is_watch = true;
    if (watch != NULL) {
        const char *const handler[] = {watch->handler, NULL};
        add_all(stream, "path", watch->paths);
        add_all(stream, "handler", handler);
        stream->generation = watch->generation;
        stream->version = watch->version;
    }
    return stream_made(stream);
}

struct modtwin_stream *modtwin_methods(const struct modtwin *client, const char *module,
                                       const char *const *names)
{
    struct modtwin_stream *stream = stream_new(client, module, "/methods");
    if (stream == NULL)
        return NULL;
    add_all(stream, "name", names);
    return stream_made(stream);
}

void modtwin_close(struct modtwin_stream *stream)
{
    if (stream == NULL)
        return;
    reader_close(&stream->reader);
    free(stream->target.data);
    free(stream->path);
    free(stream);
}

static int stream_open(struct modtwin_stream *stream, struct modtwin_error *error)
{
    struct call call = {0};
    struct text request = {0};
    int64_t deadline = now_ms() + timeout_of(&stream->client);
    add(&call.line, "GET ");
    add_bytes(&call.line, stream->target.data, stream->target.length);
    if (stream->version > 0) {
        add(&call.line, stream->has_query ? "&since=" : "?since=");
        add_number(&call.line, stream->generation);
        add(&call.line, ".");
        add_number(&call.line, stream->version);
    }
    put_together(&call, &request);
    int outcome = request.has_failed ? no_memory(error) : 0;
    if (outcome == 0)
        outcome = reader_open(&stream->reader, stream->path, error);
    if (outcome == 0)
        outcome = reader_send(&stream->reader, &request, deadline, error);
    stream->reader.body_limit = MAX_LINE + MAX_HEAD;
    stream->deadline = deadline;
    stream->line_end = stream->searched = 0;
    free(request.data);
    free(call.line.data);
    return outcome;
}

/* Whether another attempt may do better. A method that is in use may be our own: the daemon has not
 * seen the end of the last stream yet. */
static bool may_pass(const struct modtwin_stream *stream, const struct modtwin_error *error)
{
    bool is_in_use = error->failure == MODTWIN_PROBLEM && strcmp(error->kind, "in_use") == 0;
    return error->is_temporary || (!stream->is_watch && stream->has_begun && is_in_use);
}

/* Plans the next attempt; -1 where none would help. */
static int stream_lost(struct modtwin_stream *stream, struct modtwin_event *event,
                       struct modtwin_error *error)
{
    struct timespec chance;
    reader_close(&stream->reader);
    if (!may_pass(stream, error)) {
        stream->final = *error;
        return -1;
    }
    int whole = FIRST_WAIT_MS << (stream->failures < 6 ? stream->failures : 6);
    if (whole > LONGEST_WAIT_MS)
        whole = LONGEST_WAIT_MS;
    clock_gettime(CLOCK_MONOTONIC, &chance);
    int wait = whole / 2 + (int)(chance.tv_nsec / 1000 % (whole / 2 + 1));
    if (wait < error->retry_after_ms)
        wait = error->retry_after_ms;
    stream->failures++;
    stream->due = now_ms() + wait;
    *event = (struct modtwin_event){.type = MODTWIN_LOST, .error = *error, .retry_in_ms = wait};
    return 1;
}

/* Gives out the next whole line, without its line feed. */
static bool next_line(struct modtwin_stream *stream, struct modtwin_slice *line)
{
    struct text *body = &stream->reader.body;
    if (stream->line_end > 0) {
        body->length -= stream->line_end;
        memmove(body->data, body->data + stream->line_end, body->length);
        stream->line_end = stream->searched = 0;
    }
    char *start = body->data;
    char *end = body->length > stream->searched
                    ? memchr(start + stream->searched, '\n', body->length - stream->searched)
                    : NULL;
    stream->searched = body->length;
    if (end == NULL)
        return false;
    stream->line_end = (size_t)(end - start) + 1;
    *line = (struct modtwin_slice){start, stream->line_end - 1};
    return true;
}

/* Reads a line: 1 an event, 0 a sign of life or of a type that came later, -1 neither. */
static int read_event(struct modtwin_stream *stream, struct modtwin_slice line,
                      struct modtwin_event *event, struct modtwin_error *error)
{
    char type[16];
    if (json_space(line.data, line.data + line.length) == line.data + line.length)
        return 0;
    if (!json_is_object(line))
        return fail(error, MODTWIN_PROTOCOL, "expected an event, found no JSON object");
    stream->failures = 0;
    *event = (struct modtwin_event){0};
    if (!json_copy(line, "type", type, sizeof type))
        return 0;
    if (strcmp(type, "removed") == 0)
        return event->type = MODTWIN_REMOVED, stream->is_over = true, 1;
    if (!stream->is_watch) {
        if (strcmp(type, "invoke") != 0)
            return 0;
        event->type = MODTWIN_INVOKE;
        event->payload = json_member(line, "payload");
        event->timeout_ms = (int)(json_count(line, "timeout_ms") & INT_MAX);
        if (!json_copy(line, "id", event->id, sizeof event->id) ||
            !json_copy(line, "method", event->method, sizeof event->method))
            return fail(error, MODTWIN_PROTOCOL, "expected a call with id and method");
        if (event->payload.length == 0)
            event->payload = (struct modtwin_slice){"null", 4};
        return 1;
    }
    json_copy(json_object(line, "hub"), "state", event->state, sizeof event->state);
    json_copy(json_object(line, "hub"), "reason", event->reason, sizeof event->reason);
    if (strcmp(type, "hub") == 0)
        return event->type = MODTWIN_HUB, 1;
    if (strcmp(type, "snapshot") != 0 && strcmp(type, "desired") != 0)
        return 0;
    event->type = *type == 's' ? MODTWIN_SNAPSHOT : MODTWIN_DESIRED;
    event->generation = stream->generation = json_count(line, "generation");
    event->version = stream->version = json_count(line, "version");
    event->desired = json_object(line, "desired");
    event->patch = json_object(line, "patch");
    event->is_stale = json_is_true(line, "stale");
    event->is_unchanged = json_is_true(line, "unchanged");
    event->is_reset = json_is_true(line, "reset");
    return 1;
}

/* Reads on: 1 an event, 0 nothing more has come, -1 it broke. */
static int stream_step(struct modtwin_stream *stream, struct modtwin_event *event,
                       struct modtwin_error *error)
{
    struct reader *reader = &stream->reader;
    struct modtwin_slice line;
    if (reader->status >= 300)
        return reader->is_complete ? refusal(reader, error) : 0;
    stream->has_begun |= reader->status != 0;
    while (reader->status != 0 && next_line(stream, &line)) {
        int outcome = read_event(stream, line, event, error);
        if (outcome != 0)
            return outcome;
    }
    if (reader->body.length > MAX_LINE)
        return fail(error, MODTWIN_PROTOCOL, "expected lines of at most %d bytes, found a longer one",
                    MAX_LINE);
    if (reader->is_complete)
        return fail(error, MODTWIN_UNREACHABLE, "the daemon ended the stream");
    return 0;
}

int modtwin_next(struct modtwin_stream *stream, int wait_ms, struct modtwin_event *event,
                 struct modtwin_error *error)
{
    int64_t until = wait_ms < 0 ? INT64_MAX : now_ms() + wait_ms;
    struct modtwin_error unasked;
    error = error != NULL ? error : &unasked;
    *error = (struct modtwin_error){.retry_after_ms = -1};
    if (stream->is_over)
        return *event = (struct modtwin_event){.type = MODTWIN_REMOVED}, 1;
    if (stream->final.failure != MODTWIN_NONE)
        return *error = stream->final, -1;
    for (;;) {
        if (stream->reader.fd < 0) {
            wait_for(-1, 0, stream->due < until ? stream->due : until);
            if (now_ms() < stream->due)
                return 0;
            if (stream_open(stream, error) != 0)
                return stream_lost(stream, event, error);
        }
        int outcome = stream_step(stream, event, error);
        if (outcome != 0)
            return outcome > 0 ? outcome : stream_lost(stream, event, error);
        int64_t limit = stream->deadline < until ? stream->deadline : until;
        if (!wait_for(stream->reader.fd, POLLIN, limit)) {
            if (now_ms() < stream->deadline)
                return 0;
            fail(error, MODTWIN_UNREACHABLE, "nothing heard from the daemon for too long");
            return stream_lost(stream, event, error);
        }
        if (reader_receive(&stream->reader, error) != 0)
            return stream_lost(stream, event, error);
        if (stream->reader.status != 0)
            stream->deadline = now_ms() + silence_of(&stream->client);
    }
}

int modtwin_fd(const struct modtwin_stream *stream)
{
    return stream->reader.fd;
}

int modtwin_wait_ms(const struct modtwin_stream *stream)
{
    const struct text *body = &stream->reader.body;
    bool has_line = body->length > stream->line_end &&
                    memchr(body->data + stream->line_end, '\n', body->length - stream->line_end);
    int64_t left = (stream->reader.fd < 0 ? stream->due : stream->deadline) - now_ms();
    if (has_line || left < 0 || stream->is_over || stream->final.failure != MODTWIN_NONE)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}
