/* Does what the lines on its input say with the C client, and prints what comes of it. One loop over
 * poll(2), as a real handler has it. The lines and what is printed are described in ../actor.rs. */
#include "modtwin.h"

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct modtwin client;
static struct modtwin_stream *watch, *methods;
static bool is_paused;
static char methods_module[64];

static void tell_failure(const struct modtwin_error *error)
{
    if (error->failure != MODTWIN_PROBLEM) {
        printf("\"error\":\"%s\"",
               error->failure == MODTWIN_UNREACHABLE ? "unreachable" : "protocol");
        return;
    }
    printf("\"error\":\"problem\",\"kind\":\"%s\",\"status\":%d", error->kind, error->status);
    if (error->retry_after_ms >= 0)
        printf(",\"retry_after\":%d", error->retry_after_ms / 1000);
}

static const char *truth(int is_true)
{
    return is_true ? "true" : "false";
}

static void tell_event(const struct modtwin_event *event)
{
    static const char *const names[] = {"snapshot", "desired", "hub", "removed", "lost"};
    printf("{\"event\":\"%s\"", names[event->type]);
    if (event->type == MODTWIN_SNAPSHOT || event->type == MODTWIN_DESIRED) {
        printf(",\"generation\":%" PRIu64 ",\"desired\":", event->generation);
        if (event->desired.length > 0)
            fwrite(event->desired.data, 1, event->desired.length, stdout);
        else
            fputs("null", stdout);
        if (event->version > 0)
            printf(",\"version\":%" PRIu64, event->version);
        printf(",\"unchanged\":%s,\"stale\":%s,\"reset\":%s", truth(event->is_unchanged),
               truth(event->is_stale), truth(event->is_reset));
    }
    if (*event->state != '\0')
        printf(",\"state\":\"%s\",\"reason\":\"%s\"", event->state, event->reason);
    if (event->type == MODTWIN_LOST) {
        printf(",\"retry_in\":%g,", event->retry_in_ms / 1000.0);
        tell_failure(&event->error);
    }
    puts("}");
}

static void answer(const struct modtwin_event *event)
{
    struct modtwin_error error;
    char *payload = malloc(event->payload.length + 16);
    sprintf(payload, "{\"echo\":%.*s}", (int)event->payload.length, event->payload.data);
    printf("{\"event\":\"invoke\",\"method\":\"%s\",\"payload\":%.*s}\n", event->method,
           (int)event->payload.length, event->payload.data);
    if (modtwin_answer(&client, methods_module, event->id, 200, payload, &error) != 0) {
        fputs("{\"event\":\"failed\",", stdout);
        tell_failure(&error);
        puts("}");
    }
    free(payload);
}

/* Tells what has come; closes a stream that is over. */
static void drain(struct modtwin_stream **stream)
{
    struct modtwin_event event;
    struct modtwin_error error;
    int outcome;
    while (*stream != NULL && (outcome = modtwin_next(*stream, 0, &event, &error)) != 0) {
        if (outcome > 0 && event.type == MODTWIN_INVOKE) {
            answer(&event);
            continue;
        }
        if (outcome > 0 && *stream == watch)
            tell_event(&event);
        if (outcome < 0) {
            fputs("{\"event\":\"failed\",", stdout);
            tell_failure(&error);
            puts("}");
        } else if (event.type == MODTWIN_REMOVED) {
            puts("{\"event\":\"ended\"}");
        } else {
            continue;
        }
        modtwin_close(*stream);
        *stream = NULL;
    }
}

/* The value of `word` where it is NAME=VALUE. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);
    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static void begin_watch(const char *module, char *words)
{
    const char *paths[8] = {NULL};
    struct modtwin_watch wish = {.paths = paths};
    size_t count = 0;
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        const char *value;
        if ((value = value_of(word, "path")) != NULL && count < 7)
            paths[count++] = value;
        else if ((value = value_of(word, "handler")) != NULL)
            wish.handler = value;
        else if ((value = value_of(word, "since")) != NULL)
            sscanf(value, "%" SCNu64 ".%" SCNu64, &wish.generation, &wish.version);
    }
    watch = modtwin_watch(&client, module, &wish);
}

static void begin_methods(const char *module, char *words)
{
    const char *names[8] = {NULL};
    size_t count = 0;
    for (char *word = strtok(words, " "); word != NULL && count < 7; word = strtok(NULL, " "))
        names[count++] = word;
    snprintf(methods_module, sizeof methods_module, "%s", module);
    methods = modtwin_methods(&client, module, names);
}

static int send_message(const char *module, char *words, struct modtwin_error *error)
{
    const char *properties[8] = {NULL};
    char *cut = strstr(words, "-- ");
    struct modtwin_message message = {
        .payload = cut + 3, .length = strlen(cut + 3), .properties = properties};
    size_t count = 0;
    *cut = '\0';
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        const char *value;
        if ((value = value_of(word, "property")) != NULL && count < 7)
            properties[count++] = value;
        else if ((value = value_of(word, "wait")) != NULL)
            message.is_stored_enough = 1;
        else if ((value = value_of(word, "content-type")) != NULL)
            message.content_type = value;
        else if ((value = value_of(word, "content-encoding")) != NULL)
            message.content_encoding = value;
        else if ((value = value_of(word, "message-id")) != NULL)
            message.message_id = value;
        else if ((value = value_of(word, "correlation-id")) != NULL)
            message.correlation_id = value;
    }
    int is_delivered = 0;
    int outcome = modtwin_send(&client, module, &message, &is_delivered, error);
    if (outcome == 0)
        printf("{\"done\":\"send\",\"delivered\":%s", truth(is_delivered));
    return outcome;
}

/* Does what ends at once; prints the result but for its closing brace. */
static int act(const char *command, const char *module, char *rest, struct modtwin_error *error)
{
    uint64_t version = 0;
    int outcome = 0;
    char *json = NULL;
    if (strcmp(command, "send") == 0)
        return send_message(module, rest, error);
    if (strcmp(command, "report") == 0) {
        outcome = modtwin_report(&client, module, rest, 0, NULL, error);
    } else if (strcmp(command, "report-hub") == 0) {
        char *patch = strchr(rest, ' ');
        outcome = modtwin_report(&client, module, patch + 1, atoi(rest) * 1000, &version, error);
    } else if (strcmp(command, "ack") == 0) {
        struct modtwin_ack ack = {0};
        sscanf(rest, "%" SCNu64 ".%" SCNu64 " %d", &ack.generation, &ack.version, &ack.status);
        outcome = modtwin_acknowledge(&client, module, &ack, error);
    } else if (strcmp(command, "get") == 0) {
        outcome = modtwin_get(&client, module, &json, error);
    } else if (strcmp(command, "modules") == 0) {
        outcome = modtwin_modules(&client, &json, error);
    }
    if (outcome != 0)
        return outcome;
    printf("{\"done\":\"%s\"", command);
    if (version > 0)
        printf(",\"version\":%" PRIu64, version);
    if (json != NULL && strcmp(command, "get") == 0)
        printf(",\"twin\":%s", json);
    else if (json != NULL)
        printf(",%s", strchr(json, 0x7b) + 1);
    free(json);
    return 0;
}

static void obey(char *line)
{
    struct modtwin_error error;
    char *module = strchr(line, ' ');
    *module++ = '\0';
    char *rest = strchr(module, ' ');
    rest = rest != NULL ? (*rest = '\0', rest + 1) : module + strlen(module);
    if (strcmp(line, "watch") == 0) {
        begin_watch(module, rest);
    } else if (strcmp(line, "methods") == 0) {
        begin_methods(module, rest);
    } else if (strcmp(line, "pause") == 0 || strcmp(line, "resume") == 0) {
        is_paused = *line == 'p';
    } else if (act(line, module, rest, &error) == 0) {
        puts(strcmp(line, "modules") == 0 ? "" : "}");
    } else {
        printf("{\"done\":\"%s\",", line);
        tell_failure(&error);
        puts("}");
    }
}

int main(int count, char **arguments)
{
    char input[128 * 1024];
    size_t length = 0;
    client.path = count > 1 ? arguments[1] : NULL;
    client.silence_ms = count > 2 ? (int)(atof(arguments[2]) * 1000) : 0;
    setvbuf(stdout, NULL, _IOFBF, 65536);
    for (;;) {
        struct modtwin_stream *reading = is_paused ? NULL : watch;
        int wait = reading != NULL ? modtwin_wait_ms(reading) : -1;
        if (methods != NULL && (wait < 0 || modtwin_wait_ms(methods) < wait))
            wait = modtwin_wait_ms(methods);
        struct pollfd fds[] = {
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = reading != NULL ? modtwin_fd(reading) : -1, .events = POLLIN},
            {.fd = methods != NULL ? modtwin_fd(methods) : -1, .events = POLLIN},
        };
        fflush(stdout);
        if (poll(fds, 3, wait) < 0)
            return 1;
        if (fds[0].revents != 0) {
            ssize_t got = read(STDIN_FILENO, input + length, sizeof input - 1 - length);
            if (got <= 0)
                break;
            length += (size_t)got;
            for (char *end; (end = memchr(input, '\n', length)) != NULL;) {
                *end = '\0';
                obey(input);
                length -= (size_t)(end + 1 - input);
                memmove(input, end + 1, length);
            }
        }
        if (!is_paused)
            drain(&watch);
        drain(&methods);
    }
    modtwin_close(watch);
    modtwin_close(methods);
    return 0;
}
