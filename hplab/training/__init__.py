"""From a trial to its result: data, networks, the loop, what is measured."""
