from deploy.reference.pages import pages

for path, text in pages().items():
    path.write_text(text)
    print(path.name)
