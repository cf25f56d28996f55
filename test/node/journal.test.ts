/** A disk that is full or fails: a validator says so in one clear error, stops, and nothing that is not on disk has left it. */
import { fdatasyncSync, ftruncateSync, writeSync } from 'node:fs'
import { expect, onTestFinished, test, vi } from 'vitest'
import { publicKeyOf } from '../../consensus/bls.ts'
import { decodeWal, encodeWalHeader, encodeWalInput } from '../../consensus/wal.ts'
import { createConsensusChain } from '../../node/consensusChain.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { type Disk, JournalError, openJournal } from '../../node/journal.ts'
import { createLocalSigner } from '../../node/signer.ts'
import { createValidator } from '../../node/validator.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { fastGenesis, secretOf } from '../fakes/fastGenesis.ts'

const WAIT_MS = 20_000

/** A disk that has room for so many bytes more, and takes a part of what does not fit; and one that syncs until it is told to fail. */
function brokenDisk(roomBytes: number) {
  const disk = { room: roomBytes, syncs: true, fails: 0 }
  const fail = (code: string): never => {
    disk.fails++
    throw Object.assign(new Error(`${code}: it does not work`), { code, syscall: 'write' })
  }
  const calls = {
    writeSync(file: number, bytes: Uint8Array, at: number, length: number, to: number): number {
      if (disk.room === 0) fail('ENOSPC')
      const taken = writeSync(file, bytes, at, Math.min(length, disk.room), to)
      disk.room -= taken
      return taken
    },
    fdatasyncSync: (file: number) => (disk.syncs ? fdatasyncSync(file) : fail('EIO')),
    ftruncateSync,
  } as Disk
  return { disk, calls }
}

test('a full disk is one clear error, and from then on every call is; what was whole before is there', () => {
  const directory = testFolder()
  const { disk, calls } = brokenDisk(10)
  const journal = openJournal(directory, calls)
  onTestFinished(journal.close)
  journal.append(new Uint8Array(8).fill(1))
  const expected = new JournalError(
    `no space is left on the disk (ENOSPC) in ${directory}: this validator signs nothing more until that is mended and it is started again`,
  )
  expect(() => journal.append(new Uint8Array(8).fill(2))).toThrow(expected)
  disk.room = 1_000 // too late: the second entry is missing
  for (const call of [
    () => journal.append(Uint8Array.of(3)),
    () => journal.sync(),
    () => journal.truncate(0),
    () => journal.writeGuard(Uint8Array.of(4)),
  ])
    expect(call).toThrow(JournalError)
  expect(disk.fails).toBe(1)
  expect([...openJournal(directory).found.subarray(0, 8)]).toEqual(Array(8).fill(1))
})

test('a disk that does not sync is an error, for the log and for the guard', () => {
  for (const call of ['sync', 'writeGuard'] as const) {
    const { disk, calls } = brokenDisk(1_000)
    const journal = openJournal(testFolder(), calls)
    onTestFinished(journal.close)
    journal.append(Uint8Array.of(1))
    disk.syncs = false
    expect(() => journal[call](Uint8Array.of(1))).toThrow('the disk is damaged (EIO)')
  }
})

test('files that cannot be opened are an error too', () => {
  expect(() => openJournal('/dev/null/consensus')).toThrow(JournalError)
})

test.each([
  ['short', 3],
  ['long', 100],
])('a %s log begun anew holds what was appended since', (_, frames) => {
  const directory = testFolder()
  const journal = openJournal(directory)
  onTestFinished(journal.close)
  const frame = encodeWalInput({ kind: 'timeout', timer: 'prevote', height: 7, round: 1 })
  const headerOf = (height: number) => encodeWalHeader({ chainId: 1, epoch: 0, height, setHash: `0x${'11'.repeat(32)}`, votes: true })
  journal.append(headerOf(7))
  for (let i = 0; i < frames * 10; i++) journal.append(frame)
  journal.truncate(0)
  expect(decodeWal(openJournal(directory).found)).toMatchObject({ ok: true, header: undefined, bytes: 0 })
  journal.append(headerOf(8))
  journal.append(frame)
  const { found } = openJournal(directory)
  expect(decodeWal(found)).toMatchObject({ ok: true, header: { height: 8 }, inputs: [{ kind: 'timeout', height: 7 }] })
  // As a node that starts again does it: what is behind is cut, and the next frame stands right behind the last.
  const again = openJournal(directory)
  onTestFinished(again.close)
  const { bytes } = decodeWal(again.found) as { readonly bytes: number }
  again.truncate(bytes)
  again.append(frame)
  expect(decodeWal(openJournal(directory).found)).toMatchObject({
    ok: true,
    inputs: [{ height: 7 }, { height: 7 }],
    bytes: bytes + frame.length,
  })
})

const genesis = fastGenesis([0, 1, 2, 3])

for (const broken of ['full', 'damaged'] as const) {
  test(`a validator whose disk is ${broken} stops, and says nothing that it could forget`, async () => {
    const secret = secretOf(0)
    const { chainId } = genesis.params
    const set = validatorSetOf(genesis)
    const directory = testFolder()
    const { disk, calls } = brokenDisk(1 << 20)
    const journal = openJournal(directory, calls)
    const said: number[] = []
    const fatal: unknown[] = []
    const { chain } = await openDiskChain(genesis)
    const ports = { log: { ...quietLog, error() {} }, nowMs: Date.now }
    const net = {
      broadcast: ({ length }: Uint8Array) => void said.push(length),
      broadcastBlock: ({ length }: Uint8Array) => void said.push(length),
      sendTo() {},
      fetchBlock: async () => undefined,
      blame() {},
    }
    const asked = createConsensusChain({ ...ports, chain, net, nextOrigin: () => undefined, judgeOrigin: () => true })
    const validator = createValidator({
      ...ports,
      chainId,
      chain: asked,
      setAt: () => set,
      signer: createLocalSigner({ secret, publicKey: publicKeyOf(secret) }, { chainId, epochOf: () => 0 }),
      net,
      journal,
      onAhead() {},
      onEvidence() {},
      onFatal: (error) => fatal.push(error),
    })
    onTestFinished(async () => {
      asked.stop()
      await validator.stop()
      journal.close()
    })
    if (broken === 'full') disk.room = 200
    else disk.syncs = false
    validator.start()
    await vi.waitFor(() => expect(fatal).toHaveLength(1), { timeout: WAIT_MS })
    expect(fatal[0]).toBeInstanceOf(JournalError)
    expect(said).toEqual([])
    expect(decodeWal(openJournal(directory).found)).toMatchObject({ ok: true })
  })
}
