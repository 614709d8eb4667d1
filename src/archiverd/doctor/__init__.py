"""`archiverd check`: one line for each thing that people would otherwise check by hand.

checkup      every examination of a configuration, and their report
examination  runs examinations side by side, each within its time; one that crashes is a failed line
finding      one line of the report
subject      the configuration, as much of it as can be read
├─ configuration   syntax, required keys, environment variables, passwords in readable files
├─ files           the user, directories and their permissions, umask, the file system of the lock
├─ space           disk space, inodes, log rotation
├─ artdaqdb        schema.fcl, database; experiment_programs: conftoolp and the tools
├─ ucondb          URL, name, port, certificate, answer, folder, login, clock
├─ notifiers       mail, Slack, Carbon
├─ process_state   lock, daemon, journal, state files, failure logs, the last exit
└─ machine         time synchronisation, memory, open files, Python and packages
support_bundle   what a maintainer asks for, in one file without secrets (bundle_environment, redaction)
"""
