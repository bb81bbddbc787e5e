// The official Node service SDK against the hub of CONNECTION_STRING: registry, modules, twins, methods, query. What
// does not hold ends the program. The hub's CA certificate is in NODE_EXTRA_CA_CERTS, and in CA for the module client.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { ModuleClient } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Client, Registry } = require('azure-iothub');

const { CA, CONNECTION_STRING } = process.env;
const registry = Registry.fromConnectionString(CONNECTION_STRING);
const service = Client.fromConnectionString(CONNECTION_STRING);
const host = /HostName=([^;]*)/.exec(CONNECTION_STRING)[1];

// Registry calls put what they give into `responseBody`, twins and queries into `result`.
const body = async (promise) => (await promise).responseBody;

async function fails(promise, status) {
  const error = await promise.then(() => assert.fail(`expected ${status}`), (error) => error);
  assert.strictEqual(error.response?.statusCode ?? error.code, status, error);
  return error;
}

async function devices() {
  const made = await body(registry.create({ deviceId: 'gw', status: 'enabled' }));
  assert.strictEqual(made.deviceId, 'gw');
  assert.strictEqual(made.authentication.type, 'sas');
  const clash = await fails(registry.create({ deviceId: 'gw' }), 409);
  assert.strictEqual(clash.name, 'DeviceAlreadyExistsError');
  assert.strictEqual((await body(registry.get('gw'))).generationId, made.generationId);
  const missing = await fails(registry.get('nobody'), 404);
  assert.strictEqual(missing.name, 'DeviceNotFoundError');
  const changed = await body(registry.update({ ...made, statusReason: 'in use' }));
  assert.strictEqual(changed.statusReason, 'in use');
  await body(registry.create({ deviceId: 'spare' }));
  assert.deepStrictEqual((await body(registry.list())).map((device) => device.deviceId).sort(), ['gw', 'spare']);
  const statistics = await body(registry.getRegistryStatistics());
  assert.strictEqual(statistics.totalDeviceCount, 2);
  await registry.delete('spare');
  await fails(registry.get('spare'), 404);
}

async function modules() {
  const made = await body(registry.addModule({ deviceId: 'gw', moduleId: 'cam', managedBy: 'me' }));
  assert.strictEqual(made.moduleId, 'cam');
  await fails(registry.addModule({ deviceId: 'gw', moduleId: 'cam' }), 409);
  await registry.addModule({ deviceId: 'gw', moduleId: 'fan' });
  const listed = await body(registry.getModulesOnDevice('gw'));
  assert.deepStrictEqual(listed.map((module) => module.moduleId).sort(), ['cam', 'fan']);
  const read = await body(registry.getModule('gw', 'cam'));
  assert.strictEqual(read.managedBy, 'me');
  const changed = await body(registry.updateModule({ ...read, managedBy: 'you' }));
  assert.strictEqual(changed.managedBy, 'you');
  await fails(registry.updateModule({ ...read, etag: 'MTIz' }), 412);
  await registry.removeModule('gw', 'fan');
  await fails(registry.getModule('gw', 'fan'), 404);
  return made.authentication.symmetricKey.primaryKey;
}

async function twins() {
  const fresh = await body(registry.getModuleTwin('gw', 'cam'));
  assert.strictEqual(fresh.properties.desired.$version, 1);
  const stale = fresh.etag;
  const patch = { tags: { site: 'north' }, properties: { desired: { fps: 25, mode: { night: true } } } };
  const patched = (await fresh.update(patch)).result;
  assert.strictEqual(patched.properties.desired.fps, 25);
  assert.strictEqual(patched.properties.desired.$version, 2);
  await fails(registry.updateModuleTwin('gw', 'cam', { tags: { site: 'south' } }, stale), 412);
  const device = await body(registry.updateTwin('gw', { properties: { desired: { a: 1 } } }, '*'));
  assert.strictEqual(device.properties.desired.a, 1);
  assert.strictEqual((await body(registry.getTwin('gw'))).properties.desired.$version, 2);
}

async function methods(key) {
  const call = { methodName: 'reboot', payload: { in: 5 }, responseTimeoutInSeconds: 10 };
  await fails(service.invokeDeviceMethod('gw', 'cam', call), 404);
  const text = `HostName=${host};DeviceId=gw;ModuleId=cam;SharedAccessKey=${key}`;
  const module = ModuleClient.fromConnectionString(text, Mqtt);
  await module.setOptions({ ca: fs.readFileSync(CA, 'utf8') });
  await module.open();
  module.onMethod('reboot', (request, response) => response.send(201, { echo: request.payload }));
  const answer = await untilSubscribed(() => service.invokeDeviceMethod('gw', 'cam', call));
  assert.deepStrictEqual(answer.result, { status: 201, payload: { echo: { in: 5 } } });
  await module.close();
}

// The module client does not say when its subscription holds; until then the hub answers 404.
async function untilSubscribed(call) {
  const deadline = Date.now() + 20000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.response?.statusCode !== 404 || Date.now() > deadline) {
        throw error;
      }
    }
  }
}

async function queries() {
  const modules = registry.createQuery("SELECT * FROM devices.modules WHERE devices.deviceId = 'gw'");
  const rows = (await modules.nextAsTwin()).result;
  assert.deepStrictEqual(rows.map((twin) => twin.moduleId), ['cam']);
  assert.strictEqual(rows[0].tags.site, 'north');
  assert.strictEqual(modules.hasMoreResults, false);
  for (const name of ['a', 'b', 'c']) {
    await registry.create({ deviceId: name });
  }
  const found = [];
  const paged = registry.createQuery('SELECT * FROM devices', 2);
  while (paged.hasMoreResults) {
    const page = (await paged.nextAsTwin()).result;
    found.push(...page.map((twin) => twin.deviceId));
  }
  assert.deepStrictEqual(found.sort(), ['a', 'b', 'c', 'gw']);
}

async function main() {
  await devices();
  const key = await modules();
  await twins();
  await methods(key);
  await queries();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  }
);
