//! The hub link over paho-mqtt.
