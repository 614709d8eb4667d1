"""artdaqDB through its command line programs bulkloader and bulkdownloader, here or on another host."""
