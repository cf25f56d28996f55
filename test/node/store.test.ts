/** The store: a block is there whole, found by number, hash and transaction, after a restart, too; what was proposed and not decided goes with it. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { afterEach, expect, test } from 'vitest'
import { type Block, encodeBlock, hashHeader } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { createRootReader, proveRecord } from '../../execution/ledger/rootReader.ts'
import { accounts } from '../../execution/ledger/tables.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { encodeStoredReceipts } from '../../execution/storedReceipts.ts'
import { encodeGenesis } from '../../genesis/genesis.ts'
import { openStore, StoreError } from '../../node/store.ts'
import { addressOf, createTestChain, signNative, testAccounts } from '../fakes/testChain.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const hexOf = (block: Block | undefined) => block && bytesToHex(encodeBlock(block))

const COMMIT = Uint8Array.of(1, 2, 3)
const [alice, bob] = testAccounts

/** How many keys of a database are such. */
async function keysOf(folder: string, isWanted: (key: Uint8Array) => boolean): Promise<number> {
  const db = new Level<Uint8Array, Uint8Array>(folder, { keyEncoding: 'view', valueEncoding: 'view' })
  const keys = await db.keys().all()
  await db.close()
  return keys.filter(isWanted).length
}

/** Three blocks in a store: in each, Alice sends one wei to Bob. */
async function writeThree(options: { readonly propose: boolean; readonly withOutcome?: boolean }) {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-store-'))
  folders.push(folder)
  const chain = await createTestChain()
  const store = await openStore(folder)
  await store.writeGenesis(encodeGenesis(chain.genesis), createGenesisBlock(chain.genesis))
  if (!alice || !bob) throw new Error('there are test accounts')
  const fields = { kind: TRANSFER_KIND.ledger, to: addressOf(bob), amount: 1n }
  const blocks = []
  for (const nonce of [0n, 1n, 2n]) {
    const raw = await signNative(alice, { type: transfer, fields, nonce, chainId: chain.genesis.params.chainId })
    const built = await chain.next([chain.decode(raw)])
    if (options.propose) {
      await store.writeProposed(built.block, options.withOutcome ? built : undefined)
      await store.writeProposed({ ...built.block, header: { ...built.block.header, gasUsed: 1n } })
    }
    await store.writeBlock(built, COMMIT)
    blocks.push(built)
  }
  return { folder, store, blocks, bob: addressOf(bob) }
}

test.each([{ propose: true }, { propose: true, withOutcome: true }, { propose: false }])(
  'blocks are found by number, hash and transaction, before and after a restart (%o)',
  async (options) => {
    const { folder, store, blocks } = await writeThree(options)
    const check = (opened: typeof store) => {
      expect(opened.head()).toBe(3n)
      for (const { block, hash, roots, transactions, receipts } of blocks) {
        const { number } = block.header
        const stored = opened.block(number)
        expect(hexOf(stored?.block)).toBe(hexOf(block))
        expect([stored?.hash, stored?.ledgerRoot]).toEqual([hash, roots.ledgerRoot])
        expect([opened.roots(number), opened.blockNumber(hash), bytesToHex(opened.commit(number) ?? new Uint8Array())]).toEqual([
          roots,
          number,
          bytesToHex(COMMIT),
        ])
        expect(bytesToHex(opened.receipts(number) ?? new Uint8Array())).toBe(bytesToHex(encodeStoredReceipts(receipts)))
        expect(opened.transaction(transactions[0]?.hash ?? '0x')).toEqual({ blockNumber: number, index: 0 })
        expect(opened.proposed(hash)).toBeUndefined()
      }
    }
    check(store)
    await store.close()
    const again = await openStore(folder)
    check(again)
    await again.close()
  },
)

test('of what was proposed nothing is left when a block is decided, and all of it before', async () => {
  const { folder, store, blocks } = await writeThree({ propose: true })
  const [, , last] = blocks
  if (!last) throw new Error('there are three blocks')
  const { header } = last.block
  const next = { ...last.block, header: { ...header, number: 4n } }
  await store.writeProposed(next)
  await store.close()
  /** Blocks of the chain, and blocks with those that are proposed. */
  const counts = async () => {
    const numbers = await keysOf(folder, (key) => key[0] === 0x10)
    return [numbers, await keysOf(join(folder, 'blocks'), (key) => key[8] === 0)]
  }
  expect(await counts()).toEqual([4, 5])
  const again = await openStore(folder)
  expect(hexOf(again.proposed(hashHeader(next.header)))).toBe(hexOf(next))
  await again.writeBlock({ ...last, block: { ...next, header: { ...next.header, gasUsed: 9n } }, hash: `0x${'77'.repeat(32)}` }, COMMIT)
  await again.close()
  expect(await counts()).toEqual([5, 5])
})

test('what came of a block that was proposed is not what came of the one that is decided', async () => {
  const { store, blocks } = await writeThree({ propose: false })
  const [, , last] = blocks
  if (!last) throw new Error('there are three blocks')
  const { header } = last.block
  const next = { ...last, block: { ...last.block, header: { ...header, number: 4n } } }
  const failed = last.receipts.map((receipt) => ({ ...receipt, succeeded: false }))
  await store.writeProposed(next.block, { receipts: failed, operations: [] })
  expect([store.head(), store.receipts(4n), bytesToHex(store.commit(3n) ?? new Uint8Array())]).toEqual([3n, undefined, bytesToHex(COMMIT)])
  await store.writeBlock({ ...next, hash: `0x${'77'.repeat(32)}` }, Uint8Array.of(9))
  expect(bytesToHex(store.receipts(4n) ?? new Uint8Array())).toBe(bytesToHex(encodeStoredReceipts(last.receipts)))
  expect([3n, 4n].map((number) => bytesToHex(store.commit(number) ?? new Uint8Array()))).toEqual([bytesToHex(COMMIT), '0x09'])
  await store.close()
})

test('what is on disk of a block without being the head is nothing, and another block takes its place', async () => {
  const { folder, store, blocks } = await writeThree({ propose: false })
  await store.close()
  const before = join(folder, 'before')
  const changing = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile())
  for (const { name } of changing) cpSync(join(folder, name), join(before, name))
  const [, second, third] = blocks
  if (!second || !third) throw new Error('there are three blocks')
  const other = (gasUsed: bigint) => ({ ...third, block: { ...third.block, header: { ...third.block.header, number: 4n, gasUsed } } })
  const written = await openStore(folder)
  await written.writeBlock({ ...other(8n), hash: `0x${'88'.repeat(32)}` }, COMMIT)
  expect(bytesToHex(written.commit(4n) ?? new Uint8Array())).toBe(bytesToHex(COMMIT))
  await written.close()

  // As if the process had ended between pages and blocks, and the rest.
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isFile()) rmSync(join(folder, entry.name))
  for (const { name } of changing) cpSync(join(before, name), join(folder, name))
  const again = await openStore(folder)
  expect([again.head(), again.block(4n), again.receipts(4n), again.commit(4n)]).toEqual([3n, undefined, undefined, undefined])
  const hash: Hex = `0x${'99'.repeat(32)}`
  await again.writeBlock({ ...other(9n), hash }, new Uint8Array())
  expect([again.head(), again.block(4n)?.hash, again.block(4n)?.block.header.gasUsed]).toEqual([4n, hash, 9n])
  expect(again.commit(4n)).toBeUndefined()
  await again.close()
})

test('records and their proofs are read as of every block', async () => {
  const { store, blocks, bob } = await writeThree({ propose: false })
  const id = accounts.encodeId({ account: bob })
  const balances = [0n, 1n, 2n, 3n].map((number) => {
    const { ledgerRoot } = store.roots(number)
    const record = createRootReader(hexToBytes(ledgerRoot), store.reader)(accounts.number, id)
    const proof = proveRecord(hexToBytes(ledgerRoot), store.reader, { table: accounts.number, id })
    expect([verifyLedgerProof(ledgerRoot, proof), proof.record]).toEqual([true, record && bytesToHex(record)])
    return record && accounts.decode(record).balance
  })
  const [first = 0n] = balances
  expect(balances).toEqual([first, first + 1n, first + 2n, first + 3n])
  expect(blocks).toHaveLength(3)
  await store.close()
})

test('accounts are found by their indices, after a restart, too; what was taken back had none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-store-'))
  folders.push(folder)
  const chain = await createTestChain()
  const store = await openStore(folder)
  await store.writeGenesis(encodeGenesis(chain.genesis), createGenesisBlock(chain.genesis))
  if (!alice) throw new Error('there are test accounts')
  const indexOf = (account: Hex) => {
    const record = store.reader.ledgerRecord(accounts.number, accounts.encodeId({ account }))
    return record ? accounts.decode(record).index : 0
  }
  const all = (opened: typeof store) => Array.from({ length: 20 }, (_, i) => opened.accountAt(i + 1)).filter((one) => one !== undefined)
  const first = all(store)
  expect(first.map(indexOf)).toEqual(first.map((_, i) => i + 1))
  expect(first).toContain(addressOf(alice))
  store.mark()
  const fresh: Hex = `0x${'f7'.repeat(20)}`
  const fields = { kind: TRANSFER_KIND.ledger, to: fresh, amount: 1n }
  const raw = await signNative(alice, { type: transfer, fields, nonce: 0n, chainId: chain.genesis.params.chainId })
  const built = await chain.next([chain.decode(raw)])
  await store.writeBlock(built, COMMIT)
  // Fees make accounts, too.
  const after = all(store)
  expect(after.map(indexOf)).toEqual(after.map((_, i) => i + 1))
  expect(after).toEqual([...first, ...after.slice(first.length)])
  expect(after).toContain(fresh)
  await store.takeBack()
  expect(all(store)).toEqual(first)
  await store.writeBlock(built, COMMIT)
  await store.close()
  const opened = await openStore(folder)
  expect(all(opened)).toEqual(after)
  expect([opened.accountAt(0), opened.accountAt(after.length + 1)]).toEqual([undefined, undefined])
  await opened.close()
})

test('a store of another version is refused by what it is', async () => {
  const { folder, store } = await writeThree({ propose: false })
  await store.close()
  const db = new Level<Uint8Array, Uint8Array>(folder, { keyEncoding: 'view', valueEncoding: 'view' })
  await db.put(Uint8Array.of(0x40, ...new TextEncoder().encode('format')), Uint8Array.of(1))
  await db.close()
  await expect(openStore(folder)).rejects.toThrow(StoreError)
  await expect(openStore(folder)).rejects.toThrow(/has format 1, this program knows 6/)
})
