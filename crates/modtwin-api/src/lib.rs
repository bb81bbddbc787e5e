//! Requests, replies, events and problems of modtwin's local API.
