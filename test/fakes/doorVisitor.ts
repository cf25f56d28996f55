/**
 * A thread that comes in where the network's process of a validator would (node/messageDoor.ts), brings what no correct validator says, and tells by shared
 * memory when its sender was told off.
 */
import { connect } from 'node:net'
import { workerData } from 'node:worker_threads'
import { createPipe } from '../../node/p2pPipe.ts'

const { path, told } = workerData as { readonly path: string; readonly told: Int32Array }
const socket = connect(path)
socket.once('connect', () => {
  const blameDirect = () => {
    Atomics.store(told, 0, 1)
    Atomics.notify(told, 0)
  }
  const pipe = createPipe({ socket, handlers: { blameDirect, broadcast() {}, sendTo() {} }, onClose() {} })
  pipe.tell('onMessage', { message: Uint8Array.of(9, 9, 9), from: 'peer' })
})
