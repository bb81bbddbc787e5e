//! A local Azure IoT Hub: MQTT over TLS, twins, service REST API and faults on command.
