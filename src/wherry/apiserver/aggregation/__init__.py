"""APIs that other servers answer for: APIServices judged, watched over, published, and requests passed on to them."""
