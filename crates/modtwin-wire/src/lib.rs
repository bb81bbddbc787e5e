//! MQTT topics and payloads of IoT Hub to typed hub messages and back.
