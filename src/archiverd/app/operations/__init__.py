"""What operators ask for, each operation once: used by the daemon and, while none runs, by the command alone.

A request is a value (``requests``); an operation takes the opened parts and a request, and returns a result
(``results``). Two drivers run them: ``app.alone`` opens the parts and runs the stages to their end; the daemon
(``daemon.commands``) has both open and running. Requests and results cross the control socket as JSON.
"""
