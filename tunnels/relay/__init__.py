"""What a gateway and a beacon say to each other on one WebSocket; no IO."""
