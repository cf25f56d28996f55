/** What waits still waits after a restart, whatever the end of the file looks like. Spec: docs/spec/transactions.md#the-pool */
import { appendFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { type Hex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { LIMIT } from '../../genesis/params.ts'
import type { ChainState } from '../../node/chainState.ts'
import { createLog } from '../../node/log.ts'
import { decodeEntries, encodeEntries, openPoolJournal } from '../../node/poolJournal.ts'
import { quietLog as log, openDiskChain, testFolder } from '../fakes/diskChain.ts'
import { addressOf, testGenesis } from '../fakes/testChain.ts'

const genesis = testGenesis()
const account = privateKeyToAccount(`0x${'01'.repeat(32)}`) // the first of the chain's accounts

const openChain = async (): Promise<ChainState> => (await openDiskChain(genesis)).chain

async function sign(nonce: number, bytes = 0): Promise<Uint8Array> {
  const data: Hex = `0x${'01'.repeat(bytes)}`
  const fees = { gas: 21_000n + 40n * BigInt(bytes), maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  return hexToBytes(
    await account.signTransaction({ ...fees, chainId: genesis.params.chainId, nonce, to: addressOf(account), value: 1n, data }),
  )
}

const hashes = (chain: ChainState) => chain.pool.all().map(({ hash }) => hash)

test('a pool comes back after a restart, without what was mined, and a damaged end costs only what stood there', async () => {
  const path = join(testFolder(), 'pool', 'transactions')
  const first = await openChain()
  const journal = openPoolJournal(first, { path, log })
  for (const nonce of [0, 1, 2]) expect(await first.submit(await sign(nonce))).toMatchObject({ ok: true })
  await setImmediate() // no close: as after a kill
  const second = await openChain()
  const again = openPoolJournal(second, { path, log })
  expect(await again.restore()).toEqual({ taken: 3, refused: 0 })
  expect(hashes(second)).toEqual(hashes(first))
  const before = statSync(path).size
  await setImmediate()
  expect(statSync(path).size).toBe(before) // nothing is written down twice
  await again.close()
  await journal.close()
  truncateSync(path, before - 1)
  const third = await openChain()
  const built = await first.build({
    budgetMs: 60_000,
    timestampMs: genesis.timestampMs + 1_000,
    feeRecipient: addressOf(account),
    origin: undefined,
  })
  expect(built.transactions).toHaveLength(3)
  const cut = openPoolJournal(third, { path, log })
  expect(await cut.restore()).toEqual({ taken: 2, refused: 0 })
  expect(await third.submit(await sign(2))).toMatchObject({ ok: true })
  await cut.close()
  expect(decodeEntries(new Uint8Array(readFileSync(path))).raws).toHaveLength(3)
  appendFileSync(path, Buffer.alloc(50, 7))
  const fourth = await openChain()
  const last = openPoolJournal(fourth, { path, log })
  expect(await last.restore()).toEqual({ taken: 3, refused: 0 })
  await last.close()
})

test('a file that is mostly of what is gone is written anew', async () => {
  const path = join(testFolder(), 'transactions')
  const chain = await openChain()
  const journal = openPoolJournal(chain, { path, log })
  const count = 24
  for (let nonce = 0; nonce < count; nonce++) expect(await chain.submit(await sign(nonce, 50_000))).toMatchObject({ ok: true })
  await setImmediate()
  expect(statSync(path).size).toBeGreaterThan(1 << 20)
  let timestampMs = genesis.timestampMs
  while (chain.pool.size() > 0) {
    timestampMs += 1_000
    const { hash } = await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: addressOf(account), origin: undefined })
    await chain.decide(hash, new Uint8Array())
  }
  expect(statSync(path).size).toBeLessThan(1 << 19)
  await chain.submit(await sign(count))
  await journal.close()
  expect(decodeEntries(new Uint8Array(readFileSync(path))).raws.at(-1)).toEqual(await sign(count))
})

test('an entry twice is taken once, one that is none is refused, and one that claims to be longer than any transaction ends the file', async () => {
  const path = join(testFolder(), 'transactions')
  const [first, second] = [await sign(0), await sign(1)]
  const oversized = Buffer.alloc(8)
  oversized.writeUInt32BE(LIMIT.txBytes + 1, 0)
  const garbage = Uint8Array.of(0x50, 1, 2, 3)
  writeFileSync(path, Buffer.concat([encodeEntries([first, first, garbage, second, second]), oversized, encodeEntries([await sign(2)])]))
  const chain = await openChain()
  const journal = openPoolJournal(chain, { path, log })
  expect(await journal.restore()).toEqual({ taken: 2, refused: 3 })
  expect(chain.pool.all().map(({ raw }) => raw)).toEqual([first, second])
  await journal.close()
  expect(decodeEntries(new Uint8Array(readFileSync(path))).bytes).toBe(statSync(path).size)
})

test('a file whose bytes were flipped gives back what stands before the first of them', async () => {
  const entries = await Promise.all([0, 1, 2, 3].map(async (nonce) => encodeEntries([await sign(nonce)])))
  const sizes = entries.map(({ length }) => length)
  for (const broken of [0, 1, 2, 3]) {
    const path = join(testFolder(), 'transactions')
    const bytes = Buffer.concat(entries)
    const at = sizes.slice(0, broken).reduce((sum, size) => sum + size, 0) + 20
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
    writeFileSync(path, bytes)
    const chain = await openChain()
    const journal = openPoolJournal(chain, { path, log })
    expect(await journal.restore()).toEqual({ taken: broken, refused: 0 })
    await journal.close()
  }
})

/** A log that keeps its warnings. */
function warnings() {
  const lines: string[] = []
  return { lines, log: createLog({ level: 'warn', json: false, write: (line) => lines.push(line) }) }
}

test('where nothing can be written the chain goes on without a file, and says so once', async () => {
  const blocked = join(testFolder(), 'file')
  writeFileSync(blocked, 'not a folder')
  for (const path of [join(blocked, 'transactions'), testFolder()]) {
    const chain = await openChain()
    const told = warnings()
    const journal = openPoolJournal(chain, { path, log: told.log })
    expect(await journal.restore()).toEqual({ taken: 0, refused: 0 })
    expect(await chain.submit(await sign(0))).toMatchObject({ ok: true })
    await setImmediate()
    await journal.close()
    expect(told.lines).toEqual([expect.stringContaining('written down no more')])
  }
})

test('a folder that goes while the node runs costs the file alone', async () => {
  const directory = testFolder()
  const path = join(directory, 'pool', 'transactions')
  const chain = await openChain()
  const told = warnings()
  const journal = openPoolJournal(chain, { path, log: told.log })
  for (let nonce = 0; nonce < 24; nonce++) expect(await chain.submit(await sign(nonce, 50_000))).toMatchObject({ ok: true })
  await setImmediate()
  rmSync(join(directory, 'pool'), { recursive: true })
  for (let timestampMs = genesis.timestampMs; chain.pool.size() > 0; ) {
    timestampMs += 1_000
    const { hash } = await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: addressOf(account), origin: undefined })
    await chain.decide(hash, new Uint8Array())
  }
  expect(await chain.submit(await sign(24))).toMatchObject({ ok: true })
  await journal.close()
  expect(told.lines).toEqual([expect.stringContaining('written down no more')])
})

test('whatever the bytes, what is read was written whole', () =>
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 })), fc.nat(), fc.nat(255), (raws, at, byte) => {
      const bytes = new Uint8Array(encodeEntries(raws))
      expect(decodeEntries(bytes)).toEqual({ raws, bytes: bytes.length })
      const place = bytes.length === 0 ? 0 : at % bytes.length
      const read = decodeEntries(bytes.map((one, i) => (i === place ? byte : one)))
      for (const [i, raw] of read.raws.slice(0, -1).entries()) expect(raw).toEqual(raws[i])
      expect(decodeEntries(bytes.slice(0, place)).raws).toEqual(raws.slice(0, decodeEntries(bytes.slice(0, place)).raws.length))
    }),
  ))
