"""The QUIC seam: two engines behind one small interface."""
