from deploy.contract.documents import committed, write

write()
print(f"{len(committed())} documents in docs/contract/")
