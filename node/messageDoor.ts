/**
 * The way of consensus messages past the main thread: a local socket at which the network's process meets the thread that runs consensus. Each process is
 * let in at a path of its own, in a folder that only this user may enter, and both are gone once it is in. Spec: docs/spec/p2p.md#process
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPipe, type Pipe, type PipeHandlers } from './p2pPipe.ts'

export type MessageDoor = {
  /** Waits for one process, in place of the one before; answers the path at which it comes in. */
  open(): Promise<string>
  /** Says something to the process that is in. False: there is none, or it takes nothing. */
  tell(name: string, argument: unknown): boolean
  close(): void
}

/** Nobody is in, and nobody is waited for. `handlers`: what the process says. */
export function createMessageDoor(handlers: PipeHandlers): MessageDoor {
  let pipe: Pipe | undefined
  let shut: () => void = () => {}

  function letIn(server: Server, folder: string): void {
    shut = () => {
      shut = () => {}
      server.close()
      rmSync(folder, { recursive: true, force: true })
    }
    server.once('connection', (socket) => {
      shut()
      pipe?.close()
      const joined = createPipe({
        socket,
        handlers,
        onClose() {
          if (pipe === joined) pipe = undefined // its process ends with it, and another one takes its place
        },
      })
      pipe = joined
    })
  }

  return {
    async open() {
      shut()
      const folder = mkdtempSync(join(tmpdir(), 'tributary-'))
      const path = join(folder, 'messages')
      const server = createServer()
      letIn(server, folder)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(path, resolve)
      })
      return path
    },
    tell: (name, argument) => pipe?.tell(name, argument) ?? false,
    close() {
      shut()
      pipe?.close()
    },
  }
}
