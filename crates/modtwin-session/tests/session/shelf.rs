//! A disk for messages, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use modtwin_session::messages::{DeviceMessage, FoundMessages, MessageStore};
use modtwin_session::store::StoreError;

/// Messages on disk, waiting and set aside.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    waiting: Mutex<BTreeMap<u64, DeviceMessage>>,
    aside: Mutex<BTreeMap<u64, DeviceMessage>>,
    is_broken: Mutex<bool>,
    is_unreadable: Mutex<bool>,
    puts: Mutex<u64>,
}

impl Shelf {
    /// A disk with those messages, by number and payload.
    pub(crate) fn holding(messages: &[(u64, &str)]) -> Self {
        let shelf = Self::default();
        let message =
            |text: &str| DeviceMessage { payload: text.into(), ..DeviceMessage::default() };
        let messages = messages.iter().map(|(number, text)| (*number, message(text)));
        shelf.waiting.lock().unwrap().extend(messages);
        shelf
    }

    pub(crate) fn breaks(&self, is_broken: bool) {
        *self.is_broken.lock().unwrap() = is_broken;
    }

    pub(crate) fn hides(&self, is_unreadable: bool) {
        *self.is_unreadable.lock().unwrap() = is_unreadable;
    }

    /// The payloads that wait, in their order.
    pub(crate) fn waiting(&self) -> Vec<String> {
        texts(&self.waiting)
    }

    /// The payloads that were set aside.
    pub(crate) fn aside(&self) -> Vec<String> {
        texts(&self.aside)
    }

    /// How many messages were ever written.
    pub(crate) fn puts(&self) -> u64 {
        *self.puts.lock().unwrap()
    }

    fn ready(&self) -> Result<(), StoreError> {
        let is_broken = *self.is_broken.lock().unwrap() || *self.is_unreadable.lock().unwrap();
        if is_broken { Err(StoreError("no space left".to_owned())) } else { Ok(()) }
    }
}

fn texts(messages: &Mutex<BTreeMap<u64, DeviceMessage>>) -> Vec<String> {
    let messages = messages.lock().unwrap();
    let text = |message: &DeviceMessage| String::from_utf8(message.payload.clone()).unwrap();
    messages.values().map(text).collect()
}

impl MessageStore for Shelf {
    fn load(&self) -> Result<FoundMessages, StoreError> {
        if *self.is_unreadable.lock().unwrap() {
            return Err(StoreError("not yours".to_owned()));
        }
        let waiting: Vec<_> = self.waiting.lock().unwrap().clone().into_iter().collect();
        let newest = waiting.last().map_or(0, |(number, _)| *number);
        let set_aside = self.aside.lock().unwrap().len() as u64;
        Ok(FoundMessages { waiting, newest, set_aside })
    }

    fn put(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError> {
        self.ready()?;
        *self.puts.lock().unwrap() += 1;
        self.waiting.lock().unwrap().insert(number, message.clone());
        Ok(10)
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        self.ready()?;
        self.waiting.lock().unwrap().remove(&number).expect("it was never there");
        Ok(())
    }

    fn set_aside(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError> {
        self.ready()?;
        self.waiting.lock().unwrap().remove(&number);
        let mut aside = self.aside.lock().unwrap();
        aside.insert(number, message.clone());
        Ok(aside.len() as u64)
    }
}
