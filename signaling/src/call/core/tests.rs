//! Rules of calls one by one, and a seeded simulation.
