import { Common, Hardfork, Mainnet } from '@ethereumjs/common'
import { createBlob4844TxFromSerializedNetworkWrapper } from '@ethereumjs/tx'
import { bytesToHex, type Hex, hexToBytes, parseTransaction, recoverTransactionAddress } from 'viem'
import { expect, test } from 'vitest'
import { type L1Tx, parseTx, signTx } from '../../settlement/l1Tx.ts'
import { ANVIL_ACCOUNTS } from '../fakes/anvil.ts'
import { zeroSidecar } from '../fakes/zeroBlob.ts'

const [signer] = ANVIL_ACCOUNTS
const ordinary: L1Tx = {
  chainId: 1,
  nonce: 7n,
  to: '0x00000000000000000000000000000000000000aa',
  data: '0xabcd',
  gas: 100_000n,
  fees: { maxFeeWei: 30n, tipWei: 2n, maxBlobFeeWei: 0n },
  sidecar: undefined,
}
const withBlobs: L1Tx = { ...ordinary, fees: { maxFeeWei: 30n, tipWei: 2n, maxBlobFeeWei: 5n }, sidecar: zeroSidecar(2) }

test('a transaction comes out of its bytes as it went in', async () => {
  for (const tx of [ordinary, withBlobs]) {
    const { raw } = await signTx(signer, tx)
    const { sidecar, ...facts } = parseTx(raw)
    const { sidecar: wanted, ...wantedFacts } = tx
    expect(facts).toEqual(wantedFacts)
    expect(sidecar?.versionedHashes).toEqual(wanted?.versionedHashes)
    expect(sidecar?.proofs.length).toBe(wanted?.proofs.length)
  }
})

test('an ordinary transaction is what viem reads and recovers', async () => {
  const { raw } = await signTx(signer, ordinary)
  expect(parseTransaction(raw)).toMatchObject({ type: 'eip1559', chainId: 1, nonce: 7, maxFeePerGas: 30n, maxPriorityFeePerGas: 2n })
  expect(await recoverTransactionAddress({ serializedTransaction: raw as `0x02${string}` })).toBe(signer.address)
})

test('a blob transaction is in version 1 of the wrapper, with 128 cell proofs a blob, as another library reads it', async () => {
  const { raw, hash } = await signTx(signer, withBlobs)
  // The library checks proofs with whatever it is given; here the form counts, and in l1.test.ts a pool checks real proofs.
  const kzg = { computeCells: () => [], verifyCellKzgProofBatch: () => true }
  const common = new Common({ chain: Mainnet, hardfork: Hardfork.Osaka, customCrypto: { kzg: kzg as never } })
  const tx = createBlob4844TxFromSerializedNetworkWrapper(hexToBytes(raw), { common })
  expect(tx.networkWrapperVersion).toBe(1)
  expect(tx.kzgProofs?.length).toBe(256)
  expect(tx.blobVersionedHashes).toEqual(withBlobs.sidecar?.versionedHashes)
  expect(bytesToHex(tx.hash())).toBe(hash)
  expect(tx.getSenderAddress().toString() as Hex).toBe(signer.address.toLowerCase())
})
