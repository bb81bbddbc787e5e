// Prints what the hub wants of a module, and tells the hub that it has come.

import { Modtwin } from "modtwin";

const module = process.argv[2];
const client = new Modtwin();
const now = () => new Date().toISOString();

await client.report(module, { DateTimeLastAppLaunch: now() });
for await (const event of client.watch(module)) {
  if (event.hub) console.log("hub", event.hub.state, event.hub.reason);
  if (event.desired) {
    console.log("desired", event.revision, JSON.stringify(event.desired));
    await client.report(module, { DateTimeLastDesiredPropertyChangeReceived: now() });
  }
}
