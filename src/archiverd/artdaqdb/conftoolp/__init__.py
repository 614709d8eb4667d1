"""artdaqDB through the experiment's own C++ library, in child processes."""
