//! The emulator from outside: real TLS over loopback, an independent MQTT client, the real REST API, and the real
//! program. One story a test.

#[cfg(test)]
mod connect;
#[cfg(test)]
mod control;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod errands;
#[cfg(test)]
mod fault_scope;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod program;
#[cfg(test)]
mod query;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiers;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod websockets;
