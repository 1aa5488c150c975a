"""What tests share: servers, managers, load, faults and the invariants; no tests."""
