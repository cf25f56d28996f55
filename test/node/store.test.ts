/** The store: a block is there whole, found by number, hash and transaction, after a restart, too; what was proposed and not decided goes with it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { bytesToHex, hexToBytes } from 'viem'
import { afterEach, expect, test } from 'vitest'
import { type Block, encodeBlock, hashHeader } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { createRootReader, proveRecord } from '../../execution/ledger/rootReader.ts'
import { accounts } from '../../execution/ledger/tables.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
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

/** Three blocks in a store: in each, Alice sends one wei to Bob. */
async function writeThree(options: { readonly propose: boolean }) {
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
      await store.writeProposed(built.block)
      await store.writeProposed({ ...built.block, header: { ...built.block.header, gasUsed: 1n } })
    }
    await store.writeBlock(built, COMMIT)
    blocks.push(built)
  }
  return { folder, store, blocks, bob: addressOf(bob) }
}

test.each([true, false])(
  'blocks are found by number, hash and transaction, before and after a restart (proposed before: %s)',
  async (propose) => {
    const { folder, store, blocks } = await writeThree({ propose })
    const check = (opened: typeof store) => {
      expect(opened.head()).toBe(3n)
      for (const { block, hash, roots, transactions } of blocks) {
        const { number } = block.header
        const stored = opened.block(number)
        expect(hexOf(stored?.block)).toBe(hexOf(block))
        expect([stored?.hash, stored?.ledgerRoot]).toEqual([hash, roots.ledgerRoot])
        expect([opened.roots(number), opened.blockNumber(hash), bytesToHex(opened.commit(number) ?? new Uint8Array())]).toEqual([
          roots,
          number,
          bytesToHex(COMMIT),
        ])
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
  const kinds = async () => {
    const db = new Level<Uint8Array, Uint8Array>(folder, { keyEncoding: 'view', valueEncoding: 'view' })
    const keys = await db.keys().all()
    await db.close()
    return (kind: number) => keys.filter((key) => key[0] === kind).length
  }
  const count = await kinds()
  expect([count(0x10), count(0x17), count(0x30)]).toEqual([4, 5, 1])
  const again = await openStore(folder)
  expect(hexOf(again.proposed(hashHeader(next.header)))).toBe(hexOf(next))
  await again.writeBlock({ ...last, block: { ...next, header: { ...next.header, gasUsed: 9n } }, hash: `0x${'77'.repeat(32)}` }, COMMIT)
  await again.close()
  const after = await kinds()
  expect([after(0x10), after(0x17), after(0x30)]).toEqual([5, 5, 0])
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

test('a store of another version is refused by what it is', async () => {
  const { folder, store } = await writeThree({ propose: false })
  await store.close()
  const db = new Level<Uint8Array, Uint8Array>(folder, { keyEncoding: 'view', valueEncoding: 'view' })
  await db.put(Uint8Array.of(0x40, ...new TextEncoder().encode('format')), Uint8Array.of(1))
  await db.close()
  await expect(openStore(folder)).rejects.toThrow(StoreError)
  await expect(openStore(folder)).rejects.toThrow(/has format 1, this program knows 3/)
})
