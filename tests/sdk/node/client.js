// A module or a device on the official Node device SDK, told what to do by lines of JSON on stdin.
//
// It says what it sees by lines of JSON on stdout. How it connects comes from the environment: CONNECTION_STRING, or
// HOST, DEVICE and for a module MODULE, with CERTIFICATE and KEY; TRANSPORT is `mqtt` or `websockets`; CA is the hub's
// CA certificate.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { randomUUID } = require('crypto');
const { Client, Message, ModuleClient, X509AuthenticationProvider } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');

const { CA, CERTIFICATE, CONNECTION_STRING, DEVICE, HOST, KEY, MODULE, TRANSPORT } = process.env;

function say(event, members = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...members })}\n`);
}

async function makeClient() {
  const transport = TRANSPORT === 'websockets' ? MqttWs : Mqtt;
  const options = { ca: fs.readFileSync(CA, 'utf8') };
  const isModule = MODULE !== undefined || CONNECTION_STRING?.includes(';ModuleId=');
  const kind = isModule ? ModuleClient : Client;
  let client;
  if (CONNECTION_STRING !== undefined) {
    client = kind.fromConnectionString(CONNECTION_STRING, transport);
  } else {
    const credentials = { host: HOST, deviceId: DEVICE, moduleId: MODULE };
    credentials.x509 = { cert: fs.readFileSync(CERTIFICATE, 'utf8'), key: fs.readFileSync(KEY, 'utf8') };
    client = kind.fromAuthenticationProvider(new X509AuthenticationProvider(credentials), transport);
  }
  await client.setOptions(options);
  return { client, isModule };
}

function plain(properties) {
  const copy = JSON.parse(JSON.stringify(properties));
  delete copy.update;
  return copy;
}

function takeMethods(client, isModule) {
  const answer = async (request, response) => {
    say('method', { name: request.methodName, payload: request.payload });
    await response.send(201, { echo: request.payload });
  };
  for (const name of ['reboot', 'after']) {
    if (isModule) {
      client.onMethod(name, answer);
    } else {
      client.onDeviceMethod(name, answer);
    }
  }
}

async function carryOut(client, twin, order) {
  switch (order.do) {
    case 'twin': {
      const fresh = await twin.get();
      say('twin', { twin: { desired: plain((fresh ?? twin).properties.desired), reported: plain((fresh ?? twin).properties.reported) } });
      break;
    }
    case 'report':
      await new Promise((resolve, reject) => {
        twin.properties.reported.update(order.patch, (error) => (error ? reject(error) : resolve()));
      });
      say('reported');
      break;
    case 'send': {
      const message = new Message(JSON.stringify(order.body));
      message.contentType = 'application/json';
      message.contentEncoding = 'utf-8';
      message.messageId = randomUUID();
      for (const [key, value] of Object.entries(order.properties)) {
        message.properties.add(key, value);
      }
      await client.sendEvent(message);
      say('sent');
      break;
    }
    default:
      throw new Error(`unknown order ${order.do}`);
  }
}

async function main() {
  const { client, isModule } = await makeClient();
  client.on('connect', () => say('connection', { connected: true }));
  client.on('disconnect', () => say('connection', { connected: false }));
  client.on('error', (error) => say('error', { error: String(error) }));
  await client.open();
  takeMethods(client, isModule);
  const twin = await client.getTwin();
  twin.on('properties.desired', (patch) => say('desired', { patch: plain(patch) }));
  say('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.do === 'end') {
      break;
    }
    try {
      await carryOut(client, twin, order);
    } catch (error) {
      say('failed', { error: String(error) });
    }
  }
  await client.close();
  say('ended');
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
