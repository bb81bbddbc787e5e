/* Prints what the hub wants of a module, and tells the hub that it has come. */
#include "modtwin.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static void report_now(const struct modtwin *client, const char *module, const char *key) {
    char patch[128], when[32];
    time_t now = time(NULL);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    snprintf(patch, sizeof patch, "{\"%s\":\"%s\"}", key, when);
    modtwin_report(client, module, patch, 0, NULL, NULL);
}
int main(int count, char **arguments) {
    struct modtwin client = {0};
    const char *module = count > 1 ? arguments[1] : "module01";
    setvbuf(stdout, NULL, _IOLBF, 0);
    report_now(&client, module, "DateTimeLastAppLaunch");
    struct modtwin_stream *stream = modtwin_watch(&client, module, NULL);
    struct modtwin_event event;
    while (stream != NULL && modtwin_next(stream, -1, &event, NULL) == 1) {
        if (*event.state != '\0') printf("hub %s %s\n", event.state, event.reason);
        if (event.desired.length == 0) continue;
        printf("desired %" PRIu64 ".%" PRIu64 " %.*s\n", event.generation, event.version,
               (int)event.desired.length, event.desired.data);
        report_now(&client, module, "DateTimeLastDesiredPropertyChangeReceived");
    }
}
