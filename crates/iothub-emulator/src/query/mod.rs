//! The hub's query language over twins ("IoT Hub query language for device and module twins, jobs, and message
//! routing"): text in, rows out. Owns reading, checking and answering a query; knows neither the registry nor HTTP.
//! Total: every text is answered with rows or a reason.

mod answer;
mod parse;
mod syntax;
mod value;
mod word;

pub(crate) use syntax::Query;

#[cfg(test)]
mod tests;
