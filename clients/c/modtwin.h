/* Client of modtwin's local API: the module twins of a gateway, over a Unix socket.
 *
 * C11 and libc, nothing else. Blocking calls with time limits, and streams with a descriptor for
 * poll(2); no threads, no globals, no signals (a connection that breaks raises no SIGPIPE). Memory
 * is bounded: at most some 2 MiB a stream, 8 MiB while an answer is read. One stream belongs to one thread
 * at a time; everything else may be called from anywhere.
 *
 * Documents are handed over as the JSON text that came, checked to be JSON: parse it with what your
 * program has. Texts given to these functions are UTF-8 and end with a zero byte. Functions return
 * 0, or -1 and say why in `error`, which may be NULL.
 */
#ifndef MODTWIN_H
#define MODTWIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The daemon to talk to. All zero means the defaults. */
struct modtwin {
    const char *path; /* NULL: $MODTWIN_SOCKET, or /run/modtwin/modtwin.sock */
    int timeout_ms;   /* how long an answer may take; 0: 30 s */
    int silence_ms;   /* without a sign of life for so long a stream's daemon is dead; 0: 90 s */
};

enum modtwin_failure {
    MODTWIN_NONE,
    MODTWIN_UNREACHABLE, /* nobody answers at the socket, or the connection broke */
    MODTWIN_PROBLEM,     /* the daemon refused, or could not: see kind */
    MODTWIN_PROTOCOL,    /* whoever answers does not speak this API */
    MODTWIN_ARGUMENT,    /* an argument that no request can carry, or no memory */
};

struct modtwin_error {
    enum modtwin_failure failure;
    int is_temporary;   /* whether the same request may do better a little later */
    int status;         /* the HTTP status of a problem */
    int retry_after_ms; /* how long to wait first, where the daemon says so; else -1 */
    char kind[32];      /* what sort of problem, such as "forbidden" */
    char detail[512];   /* for people: what to do about it */
};

/* Part of a text; not ended by a zero byte. Empty where there is nothing. */
struct modtwin_slice {
    const char *data;
    size_t length;
};

/* Reads both sections of a module's twin: the contract's snapshot, as JSON text to free(). */
int modtwin_get(const struct modtwin *client, const char *module, char **json,
                struct modtwin_error *error);

/* Lists the modules that this process may use, as JSON text to free(). */
int modtwin_modules(const struct modtwin *client, char **json, struct modtwin_error *error);

/* Hands in a merge patch (RFC 7396), JSON text, for the reported properties. Returns once it
 * survives power loss; with hub_timeout_ms above 0 once the hub has accepted it, and then with the
 * version that the hub gave it, where `version` is not NULL. */
int modtwin_report(const struct modtwin *client, const char *module, const char *patch,
                   int hub_timeout_ms, uint64_t *version, struct modtwin_error *error);

/* What a handler did with a version. */
struct modtwin_ack {
    uint64_t generation, version;
    int status;              /* 200-299 applied, 400-599 refused; 0: 200 */
    const char *description; /* NULL: none */
    const char *handler;     /* NULL: the only one that the peer's rules name */
};

/* Says that this handler has applied or refused a version. */
int modtwin_acknowledge(const struct modtwin *client, const char *module,
                        const struct modtwin_ack *ack, struct modtwin_error *error);

/* A device-to-cloud message. What is NULL is left out. */
struct modtwin_message {
    const void *payload;
    size_t length;
    const char *content_type, *content_encoding, *message_id, *correlation_id;
    const char *const *properties; /* "name=value", ended by NULL */
    int is_stored_enough;          /* be content with the disk, and don't wait for the hub */
};

/* Sends a message. `is_delivered`, where not NULL, is 1 once the hub has it and 0 where it is on
 * disk. It may come twice: give it a message_id to be told by. */
int modtwin_send(const struct modtwin *client, const char *module,
                 const struct modtwin_message *message, int *is_delivered,
                 struct modtwin_error *error);

enum modtwin_event_type {
    MODTWIN_SNAPSHOT, /* the first, after each reconnect, and where rights change */
    MODTWIN_DESIRED,  /* desired has changed */
    MODTWIN_HUB,      /* the module stands otherwise with its hub */
    MODTWIN_REMOVED,  /* the module left the config; nothing follows */
    MODTWIN_LOST,     /* the daemon is away; the stream tries again by itself */
    MODTWIN_INVOKE,   /* a direct method is called, and waits for modtwin_answer() */
};

/* What a stream tells. Slices are good until the next call with that stream. */
struct modtwin_event {
    enum modtwin_event_type type;
    /* Snapshot and desired. Apply `desired` wherever it is not empty. */
    struct modtwin_slice desired; /* whole, within the watched paths */
    struct modtwin_slice patch;   /* from what was told before; of a change */
    uint64_t generation, version; /* version 0: before the first sync ever */
    int is_stale;                 /* the hub can't be reached */
    int is_unchanged;             /* nothing new since the revision that the stream had */
    int is_reset;                 /* the version line began anew */
    /* Snapshot and hub. */
    char state[16];  /* "connected", "connecting", "disconnected" or "disabled" */
    char reason[32]; /* "ok", "network", ... */
    /* Lost. */
    struct modtwin_error error;
    int retry_in_ms;
    /* Invoke. */
    char id[128];
    char method[128];
    struct modtwin_slice payload; /* JSON text */
    int timeout_ms;               /* how long the hub waits for the answer; 0: unknown */
};

/* What to watch. All zero means everything, from the start. */
struct modtwin_watch {
    const char *const *paths; /* JSON Pointers, ended by NULL */
    uint64_t generation, version; /* the revision that is applied already */
    const char *handler;          /* the name under which to show in status */
};

struct modtwin_stream;

/* Watches desired properties, across restarts of the daemon. Connects with the first
 * modtwin_next(). NULL where there is no memory. `watch` may be NULL. */
struct modtwin_stream *modtwin_watch(const struct modtwin *client, const char *module,
                                     const struct modtwin_watch *watch);

/* The direct-method calls of those names, ended by NULL. As modtwin_watch() otherwise. */
struct modtwin_stream *modtwin_methods(const struct modtwin *client, const char *module,
                                       const char *const *names);

/* Answers a call with JSON text. */
int modtwin_answer(const struct modtwin *client, const char *module, const char *id, int status,
                   const char *payload, struct modtwin_error *error);

/* Waits up to `wait_ms` (below 0: as long as it takes) for the next event. Returns 1 and the event,
 * 0 where none came, or -1 where another attempt would not help, and then again each time. */
int modtwin_next(struct modtwin_stream *stream, int wait_ms, struct modtwin_event *event,
                 struct modtwin_error *error);

/* For an event loop: before each poll(2) ask for the descriptor (-1 while there is no connection)
 * and for how long to wait at most (0: an event is there already); then call modtwin_next(stream,
 * 0, ...) until it returns 0. */
int modtwin_fd(const struct modtwin_stream *stream);
int modtwin_wait_ms(const struct modtwin_stream *stream);

/* Closes the connection and frees the stream; NULL is fine. */
void modtwin_close(struct modtwin_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
