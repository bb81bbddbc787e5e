//! The registry: which identities there are. Its lock is taken to look one up and to create or delete one; a link
//! looks its identity up once.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use openssl::x509::X509;

use crate::identity::{Identity, IdentityKey, Record};
use crate::problem::{self, Problem};
use crate::store::{Entry, Store};

#[derive(Debug)]
struct Device {
    identity: Arc<Identity>,
    modules: BTreeMap<String, Arc<Identity>>,
}

/// Holds all identities and the registered CAs.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: RwLock<BTreeMap<String, Device>>,
    authorities: RwLock<Vec<X509>>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Device>> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Device>> {
        self.devices.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the registry with what the store kept. Modules without a device were being deleted with it and are left
    /// out.
    pub(crate) fn restore(&self, records: Vec<Record>) {
        let mut devices = self.write();
        let (modules, parents): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.key.module.is_some());
        for record in parents {
            let identity = Identity::new(record);
            devices
                .insert(identity.key.device.clone(), Device { identity, modules: BTreeMap::new() });
        }
        for record in modules {
            let identity = Identity::new(record);
            if let (Some(device), Some(module)) =
                (devices.get_mut(&identity.key.device), &identity.key.module)
            {
                device.modules.insert(module.clone(), Arc::clone(&identity));
            }
        }
    }

    pub(crate) fn find(&self, key: &IdentityKey) -> Option<Arc<Identity>> {
        let devices = self.read();
        let device = devices.get(&key.device)?;
        match &key.module {
            None => Some(Arc::clone(&device.identity)),
            Some(module) => device.modules.get(module).cloned(),
        }
    }

    /// Says whether the device is there and enabled.
    pub(crate) fn is_enabled(&self, device: &str) -> bool {
        self.find(&IdentityKey::device(device))
            .is_some_and(|identity| identity.lock().record.is_enabled)
    }

    /// Gives a device and its modules, the device first; nothing for an unknown device.
    pub(crate) fn family(&self, device: &str) -> Vec<Arc<Identity>> {
        let devices = self.read();
        let family = devices.get(device).into_iter();
        family
            .flat_map(|device| {
                std::iter::once(&device.identity).chain(device.modules.values()).cloned()
            })
            .collect()
    }

    /// Gives all identities, each device before its modules.
    pub(crate) fn all(&self) -> Vec<Arc<Identity>> {
        let devices = self.read();
        let all = devices.values();
        all.flat_map(|device| {
            std::iter::once(&device.identity).chain(device.modules.values()).cloned()
        })
        .collect()
    }

    /// Adds an identity and gives the store's number to wait for.
    pub(crate) fn insert(
        &self,
        identity: &Arc<Identity>,
        most_modules: usize,
        store: &Store,
    ) -> Result<u64, Problem> {
        let mut devices = self.write();
        let key = &identity.key;
        match &key.module {
            None if devices.contains_key(&key.device) => {
                let text = format!("A device with ID '{key}' is already registered.");
                return Err(Problem::new(problem::DEVICE_EXISTS, text));
            }
            None => {
                let device = Device { identity: Arc::clone(identity), modules: BTreeMap::new() };
                devices.insert(key.device.clone(), device);
            }
            Some(module) => {
                let modules = &mut devices
                    .get_mut(&key.device)
                    .ok_or_else(|| no_device(&key.device))?
                    .modules;
                if modules.contains_key(module) {
                    let text = format!("Module {module} already exists on device {}.", key.device);
                    return Err(Problem::new(problem::MODULE_EXISTS, text));
                }
                if modules.len() >= most_modules {
                    let text = format!(
                        "Too many modules on device {}: at most {most_modules}.",
                        key.device
                    );
                    return Err(Problem::new(problem::TOO_MANY_MODULES, text));
                }
                modules.insert(module.clone(), Arc::clone(identity));
            }
        }
        let mut state = identity.lock();
        Ok(identity.save(&mut state, store))
    }

    /// Puts `identity` in the place of the one with its key; gives the old one, marked deleted, and the number to
    /// wait for.
    pub(crate) fn replace(
        &self,
        identity: &Arc<Identity>,
        store: &Store,
    ) -> Option<(Arc<Identity>, u64)> {
        let mut devices = self.write();
        let device = devices.get_mut(&identity.key.device)?;
        let slot = match &identity.key.module {
            None => &mut device.identity,
            Some(module) => device.modules.get_mut(module)?,
        };
        let old = std::mem::replace(slot, Arc::clone(identity));
        old.lock().is_deleted = true;
        let mut state = identity.lock();
        let number = identity.save(&mut state, store);
        drop(state);
        Some((old, number))
    }

    /// Removes an identity, a device with its modules; gives them, marked deleted, and the number to wait for.
    /// `check` sees the identity first and may refuse.
    pub(crate) fn remove(
        &self,
        key: &IdentityKey,
        store: &Store,
        check: impl FnOnce(&Identity) -> Result<(), Problem>,
    ) -> Result<(Vec<Arc<Identity>>, u64), Problem> {
        let mut devices = self.write();
        let device = devices.get_mut(&key.device).ok_or_else(|| no_device(&key.device))?;
        let removed = match &key.module {
            Some(module) => {
                check(device.modules.get(module).ok_or_else(|| no_module(key))?)?;
                device.modules.remove(module).into_iter().collect()
            }
            None => {
                check(&device.identity)?;
                let removed = devices.remove(&key.device).into_iter();
                removed
                    .flat_map(|device| {
                        std::iter::once(device.identity).chain(device.modules.into_values())
                    })
                    .collect()
            }
        };
        let removed: Vec<Arc<Identity>> = removed;
        let mut number = 0;
        // Modules first: a crash between two lines never leaves a module without its device behind.
        for identity in removed.iter().rev() {
            let mut state = identity.lock();
            state.is_deleted = true;
            number = store.push(Entry::Removed(identity.key.clone()));
        }
        Ok((removed, number))
    }

    /// Registers a CA certificate; says no when it is known already.
    pub(crate) fn add_authority(&self, certificate: X509) -> bool {
        let mut authorities = self.authorities.write().unwrap_or_else(PoisonError::into_inner);
        let new = certificate.to_der().ok();
        if authorities.iter().any(|known| known.to_der().ok() == new) {
            return false;
        }
        authorities.push(certificate);
        true
    }

    pub(crate) fn authorities(&self) -> Vec<X509> {
        self.authorities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Says that a device is unknown.
pub(crate) fn no_device(device: &str) -> Problem {
    Problem::new(problem::DEVICE_NOT_FOUND, format!("E2E device {device} not found"))
}

/// Says that a module is unknown.
pub(crate) fn no_module(key: &IdentityKey) -> Problem {
    let module = key.module.as_deref().unwrap_or_default();
    Problem::new(
        problem::MODULE_NOT_FOUND,
        format!("Module {module} on device {} not found", key.device),
    )
}
