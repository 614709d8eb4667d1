"""`archiverd check`: one line for each thing that people would otherwise look at by hand.

examining    runs examinations side by side, each within its time; one that crashes is a failed line
finding      what a line says
subject      the configuration, as far as it can be read
├─ configuration   syntax, required keys, environment variables, passwords in readable files
├─ files           the user, directories and their permissions, umask, the file system of the lock
├─ space           disk space, inodes, log rotation
├─ artdaqdb        schema.fcl, database; bundle: conftoolp and the tools
├─ ucondb          URL, name, port, certificate, answer, folder, login, clock
├─ notifiers       mail, Slack, Carbon
├─ running         lock, daemon, journal, state files, failure logs, the last exit
└─ machine         time synchronisation, memory, open files, Python and packages
bundle       what a maintainer asks for, in one file without secrets (redaction)
"""
