"""Databases: recognised, never copied hot in silence, dumped by their own programs, fed back.

kind      what a container runs, by its image, command and environment
danger    what lies in a source that is about to be read, and whether reading it now is safe
dialect   how a server is spoken to: who may, by which programs, and how a dump ends
server    a running server in a container
dump      its dump as a source of its own, "dump:CONTAINER/postgres"
contents  what a dump holds, by which two are compared; rows: of a table, in any order
way       which module knows how a kind of server is restored into
feed      a dump back into a server, proven by a second dump
"""
